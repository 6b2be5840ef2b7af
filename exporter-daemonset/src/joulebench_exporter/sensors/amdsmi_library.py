"""AMD's management library by its own Python binding (`amdsmi`, which comes with ROCm), with errors of ours.

The binding is imported, and the library loaded, only when somebody asks for it.
"""

import contextlib
import importlib
from typing import Any, Final

from joulebench_exporter.errors import SensorReadError, SensorUnavailableError

_STATUS_DRIVER_NOT_LOADED: Final = 34  # AMDSMI_STATUS_DRIVER_NOT_LOADED, amdsmi.h
_NOT_TOLD: Final = ("N/A", 0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
"""What the binding says where a board does not tell: a word of its own, or the field's largest number."""


class AmdSmiAbsentError(SensorUnavailableError):
    """There is nothing of AMD's here: no binding, no library, or no driver."""


class AmdSmiCallError(SensorReadError):
    """One call of the library failed."""


class AmdSmi:
    """The library, initialised. Raises AmdSmiAbsentError where it is not here, else SensorUnavailableError."""

    def __init__(self) -> None:
        try:
            self._binding: Any = importlib.import_module("amdsmi")
        except ModuleNotFoundError as error:
            raise AmdSmiAbsentError(
                f"the Python package {error.name!r} is not installed, by which AMD's boards are read",
                remedy="Install the one that comes with ROCm: pip install /opt/rocm/share/amd_smi.",
            ) from error
        except (ImportError, OSError) as error:
            raise AmdSmiAbsentError(
                f"AMD's library libamd_smi.so cannot be loaded: {error}",
                remedy="Install ROCm's amd-smi-lib, of the same release as the Python package amdsmi.",
            ) from error
        try:
            self._binding.amdsmi_init()
        except self._binding.AmdSmiException as error:
            absent = getattr(error, "err_code", None) == _STATUS_DRIVER_NOT_LOADED
            raise (AmdSmiAbsentError if absent else SensorUnavailableError)(
                f"AMD SMI cannot be initialised: {_in_words(error)}",
                remedy="Load the kernel module amdgpu (`amd-smi list` must work); in a container give it /dev/kfd and"
                " /dev/dri.",
            ) from error

    def call(self, name: str, *arguments: Any) -> Any:
        """One of the binding's functions; its error becomes an AmdSmiCallError."""
        try:
            return getattr(self._binding, name)(*arguments)
        except self._binding.AmdSmiException as error:
            raise AmdSmiCallError(f"{name}: {_in_words(error)}") from error

    def ask(self, name: str, *arguments: Any) -> Any:
        """The same, for what a board need not know: None where it, or this release, does not tell."""
        if not hasattr(self._binding, name):
            return None
        try:
            answer = self.call(name, *arguments)
        except AmdSmiCallError:
            return None
        return None if answer in _NOT_TOLD else answer

    def number(self, kind: str, name: str) -> Any:
        """A value of one of the binding's enumerations."""
        return getattr(getattr(self._binding, kind), name)

    def close(self) -> None:
        """Give the library back."""
        with contextlib.suppress(self._binding.AmdSmiException):  # it is gone already
            self._binding.amdsmi_shut_down()


def told(answer: Any, *names: str) -> Any:
    """The first of several fields of an answer that is there; None where none is. Releases name some differently."""
    values = (answer.get(name) for name in names) if isinstance(answer, dict) else ()
    return next((value for value in values if value is not None and value not in _NOT_TOLD), None)


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split())
