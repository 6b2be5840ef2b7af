"""The option `--cost` of all commands that reckon costs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from joulebench_runner.errors import BadInputError

if TYPE_CHECKING:
    from joulebench_api.contracts.summary import Prices

Command = TypeVar("Command", bound=Callable[..., Any])

_COST: Final = ("currency", "electricityPerKWh", "acceleratorPerHour", "carbonGramsPerKWh", "pue")
_TOKENS: Final = ("inputPerMillion", "cachedInputPerMillion", "outputPerMillion")

COST_EPILOG: Final = """
\b
Prices (--cost, any number of times; what is not given stays as the run had it):
  currency=EUR                            ISO 4217
  electricityPerKWh=0.31                  money a kWh
  acceleratorPerHour=2.50                 money an hour of one GPU
  carbonGramsPerKWh=45                    grams of CO2 equivalents a kWh
  pue=1.3                                 power usage effectiveness, 1 or more
  tokenPrices.inputPerMillion=0.25        of the model under test; also cachedInputPerMillion, outputPerMillion
  tokenPrices.judge.outputPerMillion=2    of another server, by its alias
  prices.yaml                             a file with the same names
"""


def cost_option(command: Command) -> Command:
    """Add `--cost` to a command, which gets it as `costs`; `chosen_prices` reads it."""
    return click.option(
        "--cost",
        "costs",
        multiple=True,
        metavar="FILE|NAME=VALUE",
        help="Prices: a YAML file, or one price such as electricityPerKWh=0.31. May be given several times.",
    )(command)


def chosen_prices(costs: Sequence[str], *, before: "Prices") -> "Prices":
    """The prices with what `--cost` says in place of what was there. Raises BadInputError; reads files, no more."""
    from joulebench_api.contracts.summary import Prices, TokenPrices  # noqa: PLC0415 - keeps --help fast

    prices, tokens = before.model_dump(), {alias: one.model_dump() for alias, one in before.tokens.items()}
    for text in costs:
        given = _given(text)
        for alias, of_server in _checked_tokens(given.pop("tokenPrices", {}), text).items():
            tokens[alias] = tokens.get(alias, {}) | of_server
        chosen = _checked(given, text)
        if "accelerator_per_hour" in chosen:
            prices["accelerator_per_hour_by_product"] = {}
        prices |= chosen
    return Prices.model_validate(
        prices | {"tokens": {alias: TokenPrices.model_validate(one) for alias, one in tokens.items()}}
    )


def _given(text: str) -> dict[str, Any]:
    """What one `--cost` says, as the nested object that a file would hold."""
    name, equals, value = text.partition("=")
    if not equals:
        return _from_file(Path(text))
    given: Any = value
    for part in reversed(name.split(".")):
        given = {part: given}
    return dict(given)


def _from_file(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - needed for files alone

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"--cost {path}: cannot be read: {error.strerror}",
            remedy="Name a YAML file, or write a price such as electricityPerKWh=0.31.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(f"--cost {path}: not YAML: {error}", remedy=_remedy(_COST)) from error
    if not isinstance(found, dict):
        raise BadInputError(f"--cost {path}: holds no prices", remedy=_remedy(_COST))
    return {str(name): value for name, value in found.items()}


def _checked(given: Mapping[str, Any], text: str) -> dict[str, Any]:
    from joulebench_api.v1alpha1.energy import Cost  # noqa: PLC0415 - costs 0.2 s

    _check_names(given, (*_COST, "tokenPrices"), text)
    return _validated(Cost, given, text)


def _checked_tokens(given: Any, text: str) -> dict[str, dict[str, Any]]:
    from joulebench_api.contracts.identity import MODEL_ALIAS  # noqa: PLC0415 - see above
    from joulebench_api.v1alpha1.server_source import TokenPrices  # noqa: PLC0415 - see above

    if not isinstance(given, dict):
        raise BadInputError(f"--cost {text}: tokenPrices holds prices by name", remedy=_remedy(_TOKENS))
    by_alias = given if given and all(isinstance(one, dict) for one in given.values()) else {MODEL_ALIAS: given}
    for of_server in by_alias.values():
        _check_names(of_server, _TOKENS, text)
    return {alias: _validated(TokenPrices, of_server, text) for alias, of_server in by_alias.items() if of_server}


def _validated(model: Any, given: Mapping[str, Any], text: str) -> dict[str, Any]:
    from pydantic import ValidationError  # noqa: PLC0415 - see above

    try:
        return dict(model.model_validate(given).model_dump(by_alias=False, exclude_unset=True, mode="python"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"--cost {text}: {where}: {first['msg']}", remedy="Write it like 2 or 0.25.") from error


def _check_names(given: Mapping[str, Any], known: Sequence[str], text: str) -> None:
    from joulebench_api.names import did_you_mean  # noqa: PLC0415 - see above

    for name in given:
        if name not in known:
            raise BadInputError(
                f"--cost {text}: there is no price {name!r}", remedy=did_you_mean(name, known) or _remedy(known)
            )


def _remedy(known: Sequence[str]) -> str:
    return f"There are: {', '.join(known)}."
