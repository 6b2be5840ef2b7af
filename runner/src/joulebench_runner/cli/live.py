"""The live line of a run: on a terminal one line that changes, elsewhere a line now and then."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from joulebench_api.contracts.meter import MeterStatus, Progress, Stage

LINE_EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 3.0
"""How long a server may take to load before the line says what is missing."""

_STAGE_WORDS = {
    Stage.STARTUP: "waiting for the model server",
    Stage.BASELINE: "measuring the idle baseline",
    Stage.WARMUP: "warming up",
    Stage.RUN: "asking",
    Stage.SHUTDOWN: "stopping the model server",
    Stage.EXPORT: "writing the results",
}


class Live(Protocol):
    """Something that shows the status of a run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, status: MeterStatus) -> None:
        """Show the newest status."""

    def say(self, words: str) -> None:
        """Tell something that is to stay on the screen."""


def describe(status: MeterStatus) -> str:
    """The status in one line, such as `asking 12/40 | 58% correct | 51 tok/s | 6.1 W | 0:21 left`."""
    if status.stage is not Stage.RUN:
        words = f"{_STAGE_WORDS[status.stage]} ({status.stage_started_seconds_ago:.0f} s)"
        parts = [words + _waiting_for(status), _behind(status)]
    else:
        parts = [_counts(status.progress), *_figures(status), _behind(status)]
    return " | ".join(part for part in parts if part)


def _behind(status: MeterStatus) -> str:
    """That the copy in the store does not get on; a segment or two on their way are nothing to tell."""
    store = status.store
    if store is None or store.last_error is None:
        return ""
    return f"store {store.behind} segments behind: {store.last_error}"


def _waiting_for(status: MeterStatus) -> str:
    """What a server still lacks, once it has lacked it for a while."""
    missing = [server for server in status.servers if server.state == "waiting" and server.message]
    if not missing or status.stage_started_seconds_ago < PATIENCE_SECONDS:
        return ""
    which = f"{missing[0].alias}: " if len(status.servers) > 1 else ""
    return f" | not ready yet: {which}{missing[0].message}"


def _counts(progress: Progress) -> str:
    total = "?" if progress.total is None else str(progress.total)
    return f"asking {finished(progress)}/{total}"


def finished(progress: Progress) -> int:
    """Questions that are over, answered or not."""
    return progress.answered + progress.errors


def _figures(status: MeterStatus) -> list[str]:
    progress = status.progress
    scored = progress.correct + progress.incorrect
    tokens, watts, left = progress.output_tokens_per_second, status.energy.watts, seconds_left(status)
    return [
        f"{progress.correct / scored:.0%} correct" if scored else "",
        f"{tokens:.0f} tok/s" if tokens is not None else "",
        f"{watts:.1f} W" if watts is not None else "",
        f"{progress.errors} errors" if progress.errors else "",
        f"{_clock(left)} left" if left is not None else "",
    ]


def seconds_left(status: MeterStatus) -> float | None:
    """Time to the end at the pace so far; None before the first question is over."""
    over, total = finished(status.progress), status.progress.total
    answered_now = over - status.progress.finished_before
    if answered_now <= 0 or total is None:
        return None
    return status.stage_started_seconds_ago / answered_now * (total - over)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class SilentLive:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, status: MeterStatus) -> None:
        """Do nothing."""

    def say(self, words: str) -> None:
        """Do nothing; the summary says it too."""


class LineLive:
    """Writes a line at each new stage and every ten seconds, for logs and pipes."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._stage: Stage | None = None
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, status: MeterStatus) -> None:
        """Write the line if it is time for one."""
        now = self._clock()
        if status.stage is self._stage and now - self._last < LINE_EVERY_SECONDS:
            return
        self._stage, self._last = status.stage, now
        self.say(describe(status))

    def say(self, words: str) -> None:
        """Write a line."""
        self._stream.write(words + "\n")
        self._stream.flush()


class TerminalLive:
    """A progress bar that is drawn over itself."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - costs start-up time that --help does not need
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

        self._progress = Progress(
            SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, status: MeterStatus) -> None:
        """Draw the line anew."""
        running = status.stage is Stage.RUN
        self._progress.update(
            self._task,
            description=describe(status),
            total=status.progress.total if running else None,
            completed=finished(status.progress),
        )

    def say(self, words: str) -> None:
        """Write a line above the bar."""
        self._progress.console.print(words, markup=False, highlight=False)


def live_for(stream: TextIO, *, quiet: bool) -> Live:
    """A bar on a terminal; lines elsewhere; nothing when asked to be quiet and nobody is watching."""
    if stream.isatty():
        return TerminalLive()
    return SilentLive() if quiet else LineLive(stream)
