"""Flags of the command line from environment variables, as container platforms like to give them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

PREFIX: Final = "JOULEBENCH_EXPORTER_"
_NOT_FLAGS: Final = ("--help", "--version")
_OWN_VARIABLES: Final = ("--idle-watts", "--watts-per-core")
"""Flags whose values the sensor itself looks up, in variables that `joulebench` knows too."""
_SWITCH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Parser(argparse.ArgumentParser):
    """A parser whose flags may stand in the environment as well: `--rapl-root` as JOULEBENCH_EXPORTER_RAPL_ROOT.

    What stands on the command line counts instead. Lists are separated by commas, switches are true or false; an empty
    variable is none.
    """

    _taken: Mapping[str, str] = {}

    def parse(self, words: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
        """Like `parse_args`, and a mistake in a variable names it."""
        given = {word.partition("=")[0] for word in words}
        flags = {name: flag for name, flag in self.variables().items() if not given & set(flag.option_strings)}
        taken = {name: flag for name, flag in flags.items() if environment.get(name, "")}
        self._taken = {"/".join(flag.option_strings): name for name, flag in taken.items()}
        found = [word for name, flag in taken.items() for word in self._words(flag, environment[name])]
        return self.parse_args([*found, *words])

    def variables(self) -> dict[str, argparse.Action]:
        """Each variable with its flag, in the order of the help."""
        flags = ((action.option_strings[-1], action) for action in self._actions if action.option_strings)
        return {
            PREFIX + flag.removeprefix("--").replace("-", "_").upper(): action
            for flag, action in flags
            if flag not in (*_NOT_FLAGS, *_OWN_VARIABLES) and action.help != argparse.SUPPRESS
        }

    def error(self, message: str) -> NoReturn:
        """Say from where a wrong value came."""
        told = next((name for flag, name in self._taken.items() if message.startswith(f"argument {flag}:")), None)
        super().error(message if told is None else f"{message} (environment variable {told})")

    def _words(self, flag: argparse.Action, value: str) -> list[str]:
        """The value as on the command line."""
        option = flag.option_strings[-1]
        if flag.nargs == 0:
            switch = _SWITCH.get(value.strip().lower())
            if switch is None:
                self.error(f"argument {'/'.join(flag.option_strings)}: {value!r} is neither true nor false")
            return [option] if switch else []
        several = isinstance(flag.default, list)
        values = [part.strip() for part in value.split(",") if part.strip()] if several else [value]
        return [f"{option}={one}" for one in values]
