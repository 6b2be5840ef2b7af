"""How a run stands, on the terminal and for programs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.operator.commands.api_server import ApiServer, runs_path
from tests.operator.commands.builders import URL, condition, run
from tests.operator.commands.conftest import Ask

from joulebench_operator.commands.status import status
from joulebench_operator.commands.table import lines

RUNNING = run(
    conditions=[
        condition("Ready", "False", "Running", "412 of 1319"),
        condition("Validated", "True", "PreflightPassed"),
    ],
    progress={"completed": 412, "failed": 2, "total": 1319, "percent": 31, "etaSeconds": 3725, "display": "412/1319"},
    stages=[
        {"name": "preflight", "startTime": "2026-01-02T03:04:05Z", "endTime": "2026-01-02T03:05:10Z"},
        {"name": "run", "startTime": "2026-01-02T03:05:10Z"},
    ],
    attempts=[{"number": 1, "resultsURL": URL}],
)


def test_a_run_in_progress_tells_where_it_is() -> None:
    assert list(lines(RUNNING)) == [
        "team/nightly: Running",
        "  412 of 1319",
        "  what to do: Nothing: it goes on by itself.",
        "  questions: 412/1319, 31 %, 2 failed, about 1h02m left",
        "\nconditions",
        "  Ready      False  Running          2026-01-02T03:04:05Z  412 of 1319",
        "  Validated  True   PreflightPassed  2026-01-02T03:04:05Z",
        "\nstages",
        "  preflight  2026-01-02T03:04:05Z  1m05s",
        "  run        2026-01-02T03:05:10Z  still on",
        "\nresults",
        f"  {URL}  so far",
    ]


def test_an_ended_run_tells_its_figures() -> None:
    ended = run(
        conditions=[condition("Ready", "True", "Succeeded")],
        summary={
            "accuracy": "0.61",
            "accuracyLow": "0.5",
            "accuracyHigh": "0.7",
            "joulesPerCorrect": "12.5",
            "energyKind": "Measured",
            "conserved": True,
            "counts": {"asked": 40, "correct": 24, "errors": 0},
        },
        results={"url": URL, "sha256": "abc"},
    )
    assert list(lines(ended))[4:] == [
        "  questions                  40 asked, 24 correct",
        "  accuracy                   0.61  (95 % interval 0.5 to 0.7)",
        "  joules per correct answer  12.5",
        "  the joules are             measured, and add up to the counters'",
        "\nresults",
        f"  {URL}  sha256 of summary.json abc",
    ]


def test_a_run_that_no_operator_has_seen_says_so() -> None:
    assert list(lines(run())) == ["team/nightly: not seen by an operator yet"]


def test_a_reason_of_a_newer_operator_is_shown_as_it_is() -> None:
    told = list(lines(run(conditions=[condition("Ready", "False", "OutOfCoffee")])))
    assert told[0] == "team/nightly: OutOfCoffee"
    assert "what to do" not in told[1]


def test_the_namespace_is_the_contexts_unless_another_is_named(server: ApiServer, ask: Ask) -> None:
    server.has_run(RUNNING)
    assert "team/nightly: Running" in ask(status, "nightly").output

    missing = ask(status, "nightly", "-n", "other")
    assert missing.exit_code == 2
    assert "BenchmarkRun other/nightly is not there" in missing.stderr
    assert "kubectl get brun -n other" in missing.stderr


def test_programs_get_the_status_as_json(server: ApiServer, ask: Ask) -> None:
    server.has_run(RUNNING)
    told = json.loads(ask(status, "nightly", "--json").stdout)
    assert told == {"name": "nightly", "namespace": "team", **RUNNING["status"]}


def test_missing_rights_are_told_in_the_clusters_words(server: ApiServer, ask: Ask) -> None:
    server.refuses(f"{runs_path('team')}/nightly", 'User "me" cannot get benchmarkruns', status=403)
    done = ask(status, "nightly")
    assert done.exit_code == 2
    assert 'User "me" cannot get benchmarkruns' in done.stderr
    assert "cluster role `edit`" in done.stderr


def test_a_failing_api_server_is_no_wrong_input(server: ApiServer, ask: Ask) -> None:
    server.refuses(f"{runs_path('team')}/nightly", "etcd is away", status=500)
    done = ask(status, "nightly")
    assert done.exit_code == 1
    assert "the API server says 500: etcd is away" in done.stderr


@pytest.mark.parametrize("words", [["--kubeconfig=/nowhere/at-all"], ["--context=other"]])
def test_without_a_cluster_nothing_is_asked(words: list[str], server: ApiServer, tmp_path: Path) -> None:
    known = [] if "kubeconfig" in words[0] else [f"--kubeconfig={server.kubeconfig(tmp_path)}"]
    done = CliRunner().invoke(status, ["nightly", *words, *known])
    assert done.exit_code == 2
    assert "no cluster is configured" in done.stderr
    assert server.asked == []
