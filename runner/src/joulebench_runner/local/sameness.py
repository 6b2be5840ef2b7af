"""What must be the same for a run to go on: everything that makes its questions, answers or measurement. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import JsonValue

from joulebench_api.loading import Loaded
from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.plan import LocalOptions

# How long to wait, when to give up, what to do with the results, what answers would cost, what only a cluster uses.
FREE_FIELDS: Final = frozenset({
    "spec.cost",
    "spec.maxErrors",
    "spec.queue",
    "spec.rerunToken",
    "spec.results.artifacts",
    "spec.results.exports",
    "spec.results.store",
    "spec.retryLimit",
    "spec.runner",
    "spec.suspend",
    "spec.timeouts.queue",
    "spec.timeouts.run",
    "spec.timeouts.serverReady",
    "spec.ttlAfterFinished",
})  # fmt: skip
"""Fields that may differ between two starts of one run."""
_FREE_OF_SERVERS: Final = ".startupTimeout"
# The data's revision is compared once they are read; where they lie does not matter. Nor does the meter's port.
_FREE_OPTIONS: Final = frozenset({"data", "meter_port"})
_MOST_SHOWN: Final = 8


@dataclass(frozen=True)
class Difference:
    """A field with another value than before; None: it is not there."""

    field: str
    old: JsonValue
    new: JsonValue

    def __str__(self) -> str:
        return f"{self.field}: was {_shown(self.old)}, is {_shown(self.new)}"


def sameness(resolved: BenchmarkRun, loaded: Loaded, *, options: LocalOptions) -> dict[str, JsonValue]:
    """All that counts, by the field's path; `resolved` is the file's run with its defaults."""
    servers = {name: _dumped(server.spec) for name, server in sorted(loaded.servers.items())}
    given = {f"--{name.replace('_', '-')}": value for name, value in asdict(options).items() if value is not None}
    everything = {"spec": _dumped(resolved.spec), "ModelServer": servers}
    fields = {path: value for path, value in _leaves(everything) if not _is_free(path)}
    free = {f"--{name.replace('_', '-')}" for name in _FREE_OPTIONS}
    return fields | {name: _plain(value) for name, value in given.items() if name not in free}


def differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[Difference]:
    """The fields that differ, in order."""
    names = sorted(old.keys() | new.keys())
    return [Difference(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def refuse_changes(folder: str, old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> None:
    """Raise BadInputError where a run would go on with other questions, answers or measurement."""
    found = differences(old, new)
    if not found:
        return
    shown = [str(difference) for difference in found[:_MOST_SHOWN]]
    more = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
    raise BadInputError(
        f"{folder} holds a run of another benchmark:\n  " + "\n  ".join([*shown, *more]),
        remedy="choose another folder with --out, or take the changes back to go on with the run that is there",
    )


def _dumped(value: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif value != {}:
        # An empty object says as much as an absent one.
        yield path, value


def _is_free(path: str) -> bool:
    parts = path.split(".")
    above = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return path.endswith(_FREE_OF_SERVERS) or any(one in FREE_FIELDS for one in above)


def _plain(value: Any) -> JsonValue:
    return value if isinstance(value, bool | int | float) else str(value)


def _shown(value: JsonValue) -> str:
    return "not set" if value is None else repr(value)
