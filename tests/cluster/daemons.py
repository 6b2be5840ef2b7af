"""Starting, killing and watching the processes of a cluster."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster import cgroups, record
from tests.cluster.commands import last_lines
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.record import Daemon, Record
from tests.cluster.waiting import until

# Joins the owning control group and tells its pid before it becomes the daemon: nothing of ours is ever unowned.
# A parent of its own (init, by --fork) and a session of its own: it outlives whoever started it.
_LAUNCH = 'echo $$ > "$1" && echo $$ > "$2.new" && mv "$2.new" "$2" && shift 2 && exec "$@"'


class Daemons:
    """The daemons of one cluster."""

    def __init__(self, layout: Layout, belongings: Record, environment: Mapping[str, str]) -> None:
        self._layout = layout
        self._record = belongings
        self._environment = environment

    def start(self, name: str, argv: Sequence[str | Path]) -> None:
        """Start a daemon and write it into the record."""
        words = [str(word) for word in argv]
        group = f"{self._layout.group}/daemons/{name.replace('/', '-')}"
        cgroups.make(group)
        log = self._layout.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        pid_file = log.with_suffix(".pid")
        pid_file.unlink(missing_ok=True)
        with log.open("a") as out:
            os.waitpid(self._spawn(group, pid_file, words, out.fileno()), 0)
        text = until(lambda: pid_file.exists() and pid_file.read_text(), what=f"the pid of {name}", timeout_seconds=10)
        self._record.daemons[name] = record.daemon(name, int(text), words)
        self._record.save()

    def _spawn(self, group: str, pid_file: Path, words: list[str], out: int) -> int:
        launcher = ["setsid", "--fork", "sh", "-c", _LAUNCH, "sh", cgroups.OWNERS / group / "cgroup.procs", pid_file]
        return os.posix_spawn(
            "/usr/bin/setsid",
            [str(word) for word in [*launcher, *words]],
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, out, 2),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _handed_on()),
            ],
        )

    def start_again(self, name: str) -> None:
        """Start a daemon again as it was started before."""
        daemon = self.find(name)
        if daemon.runs:
            raise ClusterError(f"{name} still runs as process {daemon.pid}", remedy="kill it first")
        self.start(name, daemon.argv)

    def kill(self, name: str, *, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends a daemon, and wait for its end."""
        daemon = self.find(name)
        if not daemon.runs:
            raise ClusterError(f"{name} does not run", remedy=f"its last words: {self.last_words(name)}")
        os.kill(daemon.pid, how)
        until(lambda: not daemon.runs, what=f"the end of {name}", timeout_seconds=20)

    def find(self, name: str) -> Daemon:
        """A daemon by its name."""
        daemon = self._record.daemons.get(name)
        if daemon is None:
            known = ", ".join(sorted(self._record.daemons))
            raise ClusterError(f"the cluster has no component {name!r}", remedy=f"it has: {known}")
        return daemon

    def wait(self, name: str, probe: Callable[[], object], *, what: str, timeout_seconds: float) -> None:
        """Wait for what a daemon brings about; the death of any daemon of the cluster ends the waiting at once.

        Raises:
            ClusterError: one died, or it took too long; with the last lines of the log.
        """
        until(
            lambda: probe() or self._dead(),
            what=what,
            timeout_seconds=timeout_seconds,
            hint=lambda: self._shown_log(name),
        )
        if dead := self._dead():
            raise ClusterError(f"{dead} died while we waited for {what}", remedy=self._shown_log(dead))

    def _dead(self) -> str:
        """The first daemon that does not run; empty if all run."""
        return next((name for name, daemon in self._record.daemons.items() if not daemon.runs), "")

    def _shown_log(self, name: str) -> str:
        return f"the last lines of {self._layout.log(name)}:\n{self.last_words(name)}"

    def last_words(self, name: str) -> str:
        """The last lines of a daemon's log."""
        return last_lines(self._layout.log(name).read_text(errors="replace"))


def _handed_on() -> list[int]:
    """What our caller had open and a daemon would keep open: a lock that it holds would be held as long as the cluster
    stays."""
    return [int(path.name) for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2 and _is_handed_on(path)]


def _is_handed_on(path: Path) -> bool:
    try:
        return os.get_inheritable(int(path.name))
    except OSError:
        # The one with which the folder was read.
        return False


def enter_mounts(pid: int) -> list[str]:
    """The command prefix that runs a command among the mounts of a process."""
    return ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--"]


def memory_mib(group: str) -> float:
    """What all processes of a control group hold in memory; shared pages count once (PSS in proc(5))."""
    return sum(_kib(pid) for pid in cgroups.pids(group)) / 1024


def _kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        # It ended while we looked.
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
