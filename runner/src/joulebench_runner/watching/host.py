"""How busy this machine is: for devices that are the machine's own processors. Linux; elsewhere nothing is known."""

from pathlib import Path

from joulebench_runner.watching.readings import Diagnostics

PROC = Path("/proc")
THERMAL = Path("/sys/class/thermal")


class Host:
    """Reads `/proc` and the thermal zones; utilisation is since the last reading."""

    def __init__(self, *, proc: Path = PROC, thermal: Path = THERMAL) -> None:
        self._proc, self._thermal = proc, thermal
        self._before = self._cpu_times()

    def diagnostics(self) -> Diagnostics:
        """Now."""
        return Diagnostics(
            utilisation_percent=self._utilisation(),
            memory_bytes=self._memory_bytes(),
            temperature_celsius=self._temperature(),
        )

    def _utilisation(self) -> float | None:
        before, self._before = self._before, self._cpu_times()
        if before is None or self._before is None or self._before[1] <= before[1]:
            return None
        idle, total = (now - then for now, then in zip(self._before, before, strict=True))
        return 100 * (1 - idle / total)

    def _cpu_times(self) -> tuple[int, int] | None:
        """(idle, all) in clock ticks since the boot (proc(5): user nice system idle iowait irq softirq steal)."""
        text = _read(self._proc / "stat")
        if text is None:
            return None
        numbers = [int(word) for word in text.splitlines()[0].split()[1:9]]
        return numbers[3] + numbers[4], sum(numbers)

    def _memory_bytes(self) -> int | None:
        text = _read(self._proc / "meminfo")
        if text is None:
            return None
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines())}
        if "MemAvailable" not in kib:
            return None
        return 1024 * (kib["MemTotal"] - kib["MemAvailable"])

    def _temperature(self) -> float | None:
        """The hottest package; None where the machine has no such zone."""
        zones = [zone for zone in self._thermal.glob("thermal_zone*") if _read(zone / "type") == "x86_pkg_temp\n"]
        found = [int(text) / 1000 for zone in zones if (text := _read(zone / "temp")) is not None]
        return max(found, default=None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
