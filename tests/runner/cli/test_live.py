"""The live line."""

import io

import pytest

from joulebench_api.contracts.meter import EnergyState, MeterStatus, Progress, ServerState, Stage, StoreState
from joulebench_runner.cli.live import LineLive, SilentLive, TerminalLive, describe, live_for, seconds_left


def status(
    stage: Stage = Stage.RUN, *, since: float = 10.0, watts: float | None = None, **progress: object
) -> MeterStatus:
    return MeterStatus(
        run_id="r",
        stage=stage,
        stage_started_seconds_ago=since,
        servers=[],
        progress=Progress.model_validate(progress),
        energy=EnergyState(watts=watts),
    )


def test_the_line_says_how_far_how_good_how_fast_and_at_what_power() -> None:
    line = describe(status(total=40, answered=10, correct=6, incorrect=4, output_tokens_per_second=51.2, watts=6.12))
    assert line == "asking 10/40 | 60% correct | 51 tok/s | 6.1 W | 0:30 left"


def test_what_is_not_known_yet_is_left_out() -> None:
    assert describe(status(total=40)) == "asking 0/40"


def test_errors_are_counted_in_the_line() -> None:
    assert "2 errors" in describe(status(total=4, answered=1, errors=2))


def test_other_stages_say_what_is_going_on() -> None:
    assert describe(status(Stage.STARTUP, since=3)) == "waiting for the model server (3 s)"


def test_a_server_that_keeps_us_waiting_says_what_is_missing() -> None:
    server = ServerState(alias="model", state="waiting", message="health: connection refused")
    early, late = (
        status(Stage.STARTUP, since=seconds).model_copy(update={"servers": [server]}) for seconds in (1.0, 12.0)
    )
    assert describe(early) == "waiting for the model server (1 s)"
    assert describe(late) == "waiting for the model server (12 s) | not ready yet: health: connection refused"


def test_of_several_servers_the_one_that_is_missing_is_named() -> None:
    model = ServerState(alias="model", state="ready")
    helper = ServerState(alias="helper", state="waiting", message="health: connection refused")
    late = status(Stage.STARTUP, since=12.0).model_copy(update={"servers": [model, helper]})
    assert describe(late).endswith("| not ready yet: helper: health: connection refused")


@pytest.mark.parametrize("stage", [Stage.RUN, Stage.EXPORT])
def test_a_store_that_is_away_is_told_and_one_that_is_not_is_not(stage: Stage) -> None:
    fine = StoreState(url="s3://bench/run", behind=1)
    away = fine.model_copy(update={"behind": 7, "last_error": "cannot write x to s3://bench/run: refused"})
    lines = [describe(status(stage).model_copy(update={"store": store})) for store in (fine, away)]
    assert "store" not in lines[0]
    assert lines[1].endswith(" | store 7 segments behind: cannot write x to s3://bench/run: refused")


@pytest.mark.parametrize(("answered", "expected"), [(0, None), (1, 30.0), (4, 0.0)])
def test_the_time_left_follows_the_pace_so_far(answered: int, expected: float | None) -> None:
    assert seconds_left(status(total=4, answered=answered)) == expected


def test_what_was_over_before_does_not_count_for_the_pace() -> None:
    assert seconds_left(status(total=104, answered=101, finished_before=100)) == 30.0
    assert seconds_left(status(total=104, answered=100, finished_before=100)) is None


def test_lines_come_at_new_stages_and_every_ten_seconds() -> None:
    now = [0.0]
    stream = io.StringIO()
    with LineLive(stream, clock=lambda: now[0]) as live:
        for moment, stage in [(0, Stage.STARTUP), (1, Stage.STARTUP), (2, Stage.RUN), (11, Stage.RUN), (12, Stage.RUN)]:
            now[0] = moment
            live.show(status(stage, since=0, total=2))
    assert stream.getvalue().splitlines() == ["waiting for the model server (0 s)", "asking 0/2", "asking 0/2"]


def test_pipes_get_lines_and_quiet_pipes_nothing() -> None:
    assert isinstance(live_for(io.StringIO(), quiet=False), LineLive)
    assert isinstance(live_for(io.StringIO(), quiet=True), SilentLive)


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    live = live_for(Terminal(), quiet=True)
    assert isinstance(live, TerminalLive)
    with live:
        live.show(status(total=4, answered=1))
        live.show(status(Stage.SHUTDOWN))
