"""What the last lines of an engine's log say about why it ended."""

import re
from collections.abc import Mapping
from typing import Final

from joulebench_api.conditions import Reason

_SIGNS: Final[Mapping[Reason, str]] = {
    Reason.INVALID_SPEC: r"unrecognized arguments?:|error: argument |error: invalid argument|error: unknown argument"
    r"|error: ambiguous option|error: the following arguments are required|joulebench-simulator: error:",
    Reason.MODEL_UNAVAILABLE: r"RepositoryNotFound|GatedRepo|RevisionNotFound|EntryNotFound|Cannot access gated repo"
    r"|is not a local folder and is not a valid model identifier|Repository Not Found|401 Client Error"
    r"|403 Client Error|404 Client Error|Invalid repository ID or local directory|OfflineModeIsEnabled"
    r"|couldn't connect to .{1,80} to load|failed to open GGUF file|gguf_init_from_file: failed|failed to load model"
    r"|No such file or directory: '?/model|Can't load the configuration of"
    r"|no .{0,40}file named .{0,60}config\.json|there is no model file at|is not a GGUF file"
    r"|HFValidationError: Repo id must be|Failed to resolve '|Temporary failure in name resolution",
    # Not "out of memory" alone: vLLM's advice on it is in every log.
    Reason.OUT_OF_MEMORY: r"(CUDA|HIP|XPU) out of memory|error: out of memory|failed: out of memory|OutOfMemoryError"
    r"|No available memory for the cache blocks|KV cache is needed, which is larger|Free memory on device"
    r"|Available memory on node .{1,80} is less than"
    r"|std::bad_alloc|Cannot allocate memory|container init was OOM-killed",
}
"""By reason, in the order in which they are looked for: a model that is not there is no matter of memory."""

_ERROR: Final = re.compile(r"(^|[\s)])[A-Za-z_][\w.]*(Error|Exception): ")
_REFERS: Final = "See root cause above"
"""What vLLM's other processes say once its engine has told its error."""

_HOPELESS: Final = frozenset({Reason.INVALID_SPEC})
_LENGTH: Final = 600


def cause(text: str) -> tuple[Reason, str]:
    """Reason, and the line that says so. ServerCrashed and the last line where nothing tells more."""
    for reason, signs in _SIGNS.items():
        for line in text.splitlines():
            if re.search(signs, line, re.IGNORECASE):
                return reason, _short(line)
    return Reason.SERVER_CRASHED, _short(_last_line(text))


def is_hopeless(reason: Reason) -> bool:
    """Whether the same spec fails again however often it is tried."""
    return reason in _HOPELESS


def _last_line(text: str) -> str:
    """The last line; where it comes after an error that was told before, that error."""
    lines = [line for line in text.splitlines() if line.strip()]
    if any(_REFERS in line for line in lines):
        lines = [line for line in lines if _ERROR.search(line) and _REFERS not in line] or lines
    return lines[-1] if lines else ""


def _short(line: str) -> str:
    words = " ".join(line.split())
    return words if len(words) <= _LENGTH else f"{words[:_LENGTH]}..."
