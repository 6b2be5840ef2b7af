"""What a run's pods write."""

import pytest
from tests.operator.commands.api_server import ApiServer
from tests.operator.commands.builders import pod, run
from tests.operator.commands.conftest import Ask

from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.commands.logs import chosen, logs, newest

PODS = "/api/v1/namespaces/team/pods"
BOTH = ("runner", "preflight")


def test_the_newest_pod_of_the_run_itself_is_meant() -> None:
    pods = [pod("a", part="preflight", main="terminated"), pod("bb", meter="running"), pod("ccc", part="server")]
    assert newest(pods, parts=BOTH) == pods[1]
    assert newest(pods, parts=("preflight",)) == pods[0]
    assert newest(pods[2:], parts=BOTH) is None


def test_containers_that_have_not_begun_have_written_nothing() -> None:
    assert chosen(pod("a", driver="waiting", meter="running"), None) == ["meter"]
    with pytest.raises(CommandError, match="has written nothing yet"):
        chosen(pod("a", meter="waiting"), None)


def test_an_unknown_container_is_refused_by_naming_those_that_there_are() -> None:
    with pytest.raises(BadRequestError) as refused:
        chosen(pod("a", driver="running", meter="running"), "main")
    assert refused.value.remedy == "it has driver, meter"


@pytest.mark.parametrize("follow", [[], ["--follow"]], ids=["in turn", "followed"])
def test_each_line_bears_its_containers_name(server: ApiServer, ask: Ask, follow: list[str]) -> None:
    server.has_run(run())
    server.has(PODS, {"items": [pod("nightly-1-abc", driver="running", meter="running")]})
    server.has(f"{PODS}/nightly-1-abc/log", "first\nsecond\nno newline")

    done = ask(logs, "nightly", *follow, "--tail", "7")

    assert done.exit_code == 0, done.output
    own = ["first", "second", "no newline"]
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{name} | {line}" for name in ("driver", "meter") for line in own
    )
    assert done.stderr == "pod nightly-1-abc\n"
    asked = [path for _, path, _ in server.asked if "/log?" in path]
    assert all("tailLines=7" in path for path in asked)
    assert all(("follow=true" in path) == bool(follow) for path in asked)


def test_a_run_without_pods_leads_to_its_status(server: ApiServer, ask: Ask) -> None:
    server.has_run(run())
    server.has(PODS, {"items": []})
    done = ask(logs, "nightly")
    assert done.exit_code == 1
    assert "nightly has no pod" in done.stderr
    assert "joulebench status nightly" in done.stderr
