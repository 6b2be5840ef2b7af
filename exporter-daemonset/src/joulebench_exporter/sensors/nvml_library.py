"""NVIDIA's management library by its own Python binding (nvidia-ml-py), with errors of ours and one fast read.

The binding is imported, and the library loaded, only when somebody asks for it: 11 MB and 0.1 s.
"""

import contextlib
import ctypes
import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from joulebench_exporter.errors import SensorReadError, SensorUnavailableError

LIBRARY: Final = "libnvidia-ml.so.1"

_REMEDIES: Final = {
    "DRIVER_NOT_LOADED": "Load NVIDIA's kernel module (`nvidia-smi` must work), then start again.",
    "LIB_RM_VERSION_MISMATCH": "The library and the kernel module are of different releases of the driver, as after an "
    "update: restart the machine, or reload the module; a container must get the host's library.",
    "NO_PERMISSION": "This user may not open /dev/nvidiactl and /dev/nvidia*; in a container use the NVIDIA runtime.",
    "LIBRARY_NOT_FOUND": "Install NVIDIA's driver. In a container use the NVIDIA runtime (runtimeClassName: nvidia) "
    "with NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility.",
}
_OTHER_REMEDY: Final = "See what `nvidia-smi` says on this machine."


class NvmlCallError(SensorReadError):
    """One call of the library failed."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"{call} answered {code} ({text})")
        self.code = code


def is_installed() -> bool:
    """Whether the library is there at all: cheaper than importing the binding to be told."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


class Nvml:
    """The library, initialised. Raises SensorUnavailableError with what can be done where it cannot be."""

    def __init__(self) -> None:
        if not is_installed():
            raise SensorUnavailableError(
                f"NVIDIA's library {LIBRARY} is not here", remedy=_REMEDIES["LIBRARY_NOT_FOUND"]
            )
        self._binding = importlib.import_module("pynvml")
        self.constants = self._binding
        """The binding itself, for the numbers that it names."""
        try:
            self._binding.nvmlInit()
        except self._binding.NVMLError as error:
            name = self.error_name(error.value)
            remedy = _REMEDIES.get(name, _OTHER_REMEDY)
            raise SensorUnavailableError(f"NVML cannot be initialised: {error} ({name})", remedy=remedy) from error

    def call(self, name: str, *arguments: Any) -> Any:
        """One of the binding's functions; its error becomes an NvmlCallError."""
        try:
            return getattr(self._binding, name)(*arguments)
        except self._binding.NVMLError as error:
            raise NvmlCallError(name, error.value, str(error)) from error

    def ask(self, name: str, *arguments: Any) -> Any:
        """The same, for what a device need not know: None where it is not supported."""
        try:
            return self.call(name, *arguments)
        except NvmlCallError as error:
            if error.code in self._unsupported():
                return None
            raise

    def restart(self) -> None:
        """Give the library back and initialise it again, as its driver was restarted or a board was lost."""
        self.close()
        self.call("nvmlInit")

    def close(self) -> None:
        """Give the library back."""
        with contextlib.suppress(self._binding.NVMLError):  # the session is gone already
            self._binding.nvmlShutdown()

    def fields(self, handle: object, ids: Sequence[tuple[int, int]]) -> "Fields":
        """A call for (field, scope) pairs, prepared once."""
        return Fields(self, handle, ids)

    def error_name(self, code: int) -> str:
        """Such as DRIVER_NOT_LOADED."""
        prefix = "NVML_ERROR_"
        names = (name for name in dir(self._binding) if name.startswith(prefix))
        return next((name.removeprefix(prefix) for name in names if getattr(self._binding, name) == code), str(code))

    def _unsupported(self) -> tuple[int, ...]:
        binding = self._binding
        return (
            binding.NVML_ERROR_NOT_SUPPORTED,
            binding.NVML_ERROR_FUNCTION_NOT_FOUND,
            binding.NVML_ERROR_NO_PERMISSION,
            binding.NVML_ERROR_NOT_FOUND,
        )


class Fields:
    """`nvmlDeviceGetFieldValues` of one device with its memory laid out beforehand: a read makes no objects."""

    def __init__(self, nvml: Nvml, handle: Any, ids: Sequence[tuple[int, int]]) -> None:
        binding = nvml.constants
        self._values = (binding.c_nvmlFieldValue_t * len(ids))()
        for value, (field, scope) in zip(self._values, ids, strict=True):
            value.fieldId, value.scopeId = field, scope
        self._function: Callable[..., int] = binding.nvmlLib.nvmlDeviceGetFieldValues
        # Addresses and a plain number: ctypes passes them on as they are, and converts anything else at each call.
        self._arguments = (ctypes.byref(handle.contents), len(ids), ctypes.byref(self._values))
        self._nvml = nvml

    def wide_reader(self) -> Callable[[], int]:
        """A function that reads the only field, a 64-bit number. It raises NvmlCallError."""
        return self._reader("Q")

    def narrow_reader(self) -> Callable[[], int]:
        """The same for a 32-bit number."""
        return self._reader("I")

    def _reader(self, kind: Literal["I", "Q"]) -> Callable[[], int]:
        # The answer is read from its memory: after a sleep, when the processor's caches are cold, asking ctypes for two
        # fields of the structure costs as much as the call itself.
        function, (handle, count, values) = self._function, self._arguments
        layout, memory = self._nvml.constants.c_nvmlFieldValue_t, memoryview(self._values).cast("B")
        returns, answers = memory.cast("I"), memory.cast(kind)
        return_at: int = layout.nvmlReturn.offset // returns.itemsize
        answer_at: int = layout.value.offset // answers.itemsize

        def read() -> int:
            result = function(handle, count, values) or returns[return_at]
            if result:
                raise self._error(result)
            return answers[answer_at]

        return read

    def read(self) -> list[int | None]:
        """Read all as unsigned numbers; None for fields that this device does not have. Raises NvmlCallError."""
        result = self._function(*self._arguments)
        if result:
            raise self._error(result)
        return [self._number(value) for value in self._values]

    def _number(self, value: Any) -> int | None:
        binding = self._nvml.constants
        if value.nvmlReturn:
            return None
        wide = value.valueType == binding.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        return int(value.value.ullVal if wide else value.value.uiVal)

    def _error(self, code: int) -> NvmlCallError:
        return NvmlCallError("nvmlDeviceGetFieldValues", code, self._nvml.error_name(code))
