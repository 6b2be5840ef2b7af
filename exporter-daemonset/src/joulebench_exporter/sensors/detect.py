"""Which sensors are used: those that were named, or the best that this machine has."""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_exporter.errors import BadOptionError, SensorUnavailableError
from joulebench_exporter.rhythm import DEFAULT_RHYTHM, Rhythm
from joulebench_exporter.sensors import amdsmi, modelled, nvml, rapl, simulated
from joulebench_exporter.sensors.amdsmi_library import AmdSmiAbsentError
from joulebench_exporter.sensors.base import Sensor
from joulebench_exporter.sensors.nvml_library import is_installed as nvml_is_installed

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorOptions:
    """What the sensors are told."""

    boot_id: str
    uptime_ns: Callable[[], int]
    rapl_root: Path = rapl.DEFAULT_ROOT
    idle_watts: float | None = None
    watts_per_core: float | None = None
    device_files: Sequence[Path] = ()
    simulated_rhythm: Rhythm = DEFAULT_RHYTHM
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    ahead_ns: int = 0
    """By how much that is ahead of this machine's clock (in tests)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The open sensors, and what is to be said about the choice."""

    sensors: Sequence[Sensor]
    notes: Sequence[str]


def _nvml(options: SensorOptions) -> Sensor:  # noqa: ARG001 - it needs to be told nothing
    return nvml.NvmlSensor()


def _amdsmi(options: SensorOptions) -> Sensor:
    return amdsmi.AmdSmiSensor(monotonic_ns=options.monotonic_ns)


def _rapl(options: SensorOptions) -> Sensor:
    return rapl.RaplSensor(boot_id=options.boot_id, root=options.rapl_root)


def _modelled(options: SensorOptions) -> Sensor:
    numbers = modelled.coefficients(idle_watts=options.idle_watts, watts_per_core=options.watts_per_core)
    return modelled.ModelledSensor(boot_id=options.boot_id, coefficients=numbers, uptime_ns=options.uptime_ns)


def _simulated(options: SensorOptions) -> Sensor:
    return simulated.SimulatedSensor(
        options.device_files,
        rhythm=options.simulated_rhythm,
        monotonic_ns=options.monotonic_ns,
        ahead_ns=options.ahead_ns,
    )


_OPENERS: Final[Mapping[str, Callable[[SensorOptions], Sensor]]] = {
    nvml.NAME: _nvml,
    amdsmi.NAME: _amdsmi,
    rapl.NAME: _rapl,
    modelled.NAME: _modelled,
    simulated.NAME: _simulated,
}
SENSOR_NAMES: Final[Sequence[str]] = (AUTO, *_OPENERS)


def open_sensors(names: Sequence[str], options: SensorOptions) -> Detected:
    """Open the sensors of these names; `auto` alone takes the best there is.

    Raises BadOptionError for names that do not exist or do not go together, SensorUnavailableError for named sensors
    that this machine does not have.
    """
    _check(names)
    if AUTO in names:
        return _detect(options)
    sensors = [_OPENERS[name](options) for name in names]
    return Detected(sensors=sensors, notes=[note for sensor in sensors for note in sensor.notes])


def _check(names: Sequence[str]) -> None:
    if not names:
        raise BadOptionError("no sensor is named", remedy=f"There are: {', '.join(SENSOR_NAMES)}.")
    for name in names:
        if name not in SENSOR_NAMES:
            nearest = difflib.get_close_matches(name, SENSOR_NAMES, n=1)
            hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
            raise BadOptionError(f"unknown sensor {name!r}", remedy=f"{hint}There are: {', '.join(SENSOR_NAMES)}.")
    if len(set(names)) != len(names):
        raise BadOptionError(f"a sensor is named twice: {', '.join(names)}", remedy="Name each sensor once.")
    if AUTO in names and len(names) > 1:
        raise BadOptionError("'auto' was named beside other sensors", remedy="Give either 'auto' or a list of sensors.")
    if {rapl.NAME, modelled.NAME} <= set(names):
        raise BadOptionError(
            "'rapl' and 'modelled' are both asked for, but both cover the CPU: its joules would be counted twice",
            remedy="Give one of them; 'auto' takes rapl where it can be read.",
        )


def _detect(options: SensorOptions) -> Detected:
    """The boards that are here, and the processors' counters or else their model."""
    boards, notes = _boards(options)
    try:
        processors = _rapl(options)
    except SensorUnavailableError as error:
        reason = f"energy of the CPU is modelled, not measured: {error.message}. {error.remedy or ''}".strip()
        return Detected(sensors=[*boards, _modelled(options)], notes=[*notes, reason])
    return Detected(sensors=[*boards, processors], notes=[*notes, *processors.notes])


def _boards(options: SensorOptions) -> tuple[list[Sensor], list[str]]:
    """Accelerators; a machine without their driver is nothing to speak of, one whose driver does not work is."""
    sensors: list[Sensor] = []
    notes: list[str] = []
    for maker, open_boards in (("NVIDIA", _nvml_if_installed), ("AMD", _amdsmi_if_present)):
        try:
            sensor = open_boards(options)
        except SensorUnavailableError as error:
            notes.append(f"{maker} boards are not measured: {error.message}. {error.remedy or ''}".strip())
            continue
        if sensor is not None:
            sensors.append(sensor)
            notes += sensor.notes
    return sensors, notes


def _nvml_if_installed(options: SensorOptions) -> Sensor | None:
    return _nvml(options) if nvml_is_installed() else None


def _amdsmi_if_present(options: SensorOptions) -> Sensor | None:
    try:
        return _amdsmi(options)
    except AmdSmiAbsentError:
        return None
