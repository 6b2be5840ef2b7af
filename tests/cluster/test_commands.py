"""`kubectl joulebench status|logs|results` on a real cluster, with runs that stand as an operator would leave them."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.api import MERGE_PATCH, Api
from tests.cluster.objects import Object, claim, container, pod, pod_spec, with_volume
from tests.cluster.session import Namespace
from tests.cluster.settings import WORKLOAD_IMAGE
from tests.crds.rules_table import RUN

from joulebench_operator.names import PART_LABEL, RUN_LABEL, RUNNER_PART

pytestmark = pytest.mark.usefixtures("crds")

PROGRAMS = Path(sys.executable).parent
NAME = str(RUN["metadata"]["name"])
CLAIM = f"{NAME}-results"
SIZE = 3_000_000
SUMMARY = '{"accuracy": 1}'
WRITE = f"""
from pathlib import Path
folder = Path("/results/{NAME}/journal")
folder.mkdir(parents=True)
folder.parent.joinpath("summary.json").write_text('{SUMMARY}')
folder.joinpath("1.arrows").write_bytes(bytes(range(250)) * {SIZE // 250})
"""


def program(namespace: Namespace, *words: str) -> list[str]:
    """The command line as kubectl's plugin, in the cluster's network."""
    environment = namespace.cluster.environment
    path = f"PATH={PROGRAMS}:{environment['PATH']}"
    return [*namespace.cluster.enter(), "env", path, "kubectl", "joulebench", *words, f"--namespace={namespace.name}"]


def asked(namespace: Namespace, *words: str) -> subprocess.CompletedProcess[str]:
    """What a command says."""
    return subprocess.run(
        program(namespace, *words),
        env=namespace.cluster.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def run(namespace: Namespace, api: Api) -> Namespace:
    """The namespace of a run that has ended well, with results on a claim."""
    namespace.apply(RUN)
    status: dict[str, Any] = {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Succeeded",
                "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }
        ],
        "summary": {"joulesPerCorrect": "12.5", "conserved": True},
        "resolved": {"runner": {"image": WORKLOAD_IMAGE}},
        "results": {
            "url": f"pvc://{namespace.name}/{CLAIM}/{NAME}",
            "sha256": hashlib.sha256(SUMMARY.encode()).hexdigest(),
        },
    }
    path = f"/apis/joulebench.dev/v1alpha1/namespaces/{namespace.name}/benchmarkruns/{NAME}/status"
    assert api.request("PATCH", path, {"status": status}, content_type=MERGE_PATCH).good
    return namespace


def write_results(namespace: Namespace) -> None:
    """Let a pod write what a run would."""
    spec = pod_spec(container_more={"command": ["python3", "-c", WRITE]})
    mounted = with_volume(spec, {"persistentVolumeClaim": {"claimName": CLAIM}}, path="/results")
    written = pod("writer")
    namespace.apply(claim(CLAIM))
    namespace.said({**written, "spec": {**mounted, "restartPolicy": "Never"}})


def readers(namespace: Namespace) -> list[str]:
    """The pods that read claims."""
    return namespace.kubectl("get", "pods", f"--selector={PART_LABEL}=reader", "--output=name").split()


def test_kubectl_tells_how_a_run_stands(run: Namespace) -> None:
    told = asked(run, "status", NAME)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == f"{run.name}/{NAME}: Succeeded"
    assert "joules per correct answer  12.5" in told.stdout
    assert json.loads(asked(run, "status", NAME, "--json").stdout)["results"]["url"].startswith("pvc://")


def test_results_come_from_a_claim_byte_by_byte(run: Namespace, tmp_path: Path) -> None:
    write_results(run)
    target = tmp_path / NAME

    done = asked(run, "results", NAME, f"--to={target}")

    assert done.returncode == 0, done.stderr
    assert (target / "summary.json").read_text() == SUMMARY
    assert (target / "journal" / "1.arrows").read_bytes() == bytes(range(250)) * (SIZE // 250)
    assert readers(run) == []


def test_what_is_not_there_is_told_and_no_pod_stays(run: Namespace, tmp_path: Path) -> None:
    run.apply(claim(CLAIM))
    done = asked(run, "results", NAME, f"--to={tmp_path / NAME}")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert readers(run) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_no_pod(run: Namespace, tmp_path: Path, sent: signal.Signals) -> None:
    run.apply(claim(CLAIM))
    words = program(run, "results", NAME, f"--to={tmp_path / NAME}", "--image=localhost/there-is-none:1")
    with subprocess.Popen(words, env=run.cluster.environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # It waits for an image that never comes.
            assert "waiting for pod" in process.stderr.readline()
            assert readers(run)
            process.send_signal(sent)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()
    assert readers(run) == []


def runner_pod(*lines: str) -> Object:
    """A pod as a run's, whose two containers speak."""
    labels = {RUN_LABEL: NAME, PART_LABEL: RUNNER_PART}
    made = pod("runner", "say", *lines, labels=labels)
    made["spec"]["containers"] = [container("say", *lines, name="driver"), container("say", *lines, name="meter")]
    return made


def test_logs_are_followed_to_their_end(run: Namespace) -> None:
    run.apply(runner_pod("hello", "there"))
    run.ended("runner")
    for more in ([], ["--follow"]):
        told = asked(run, "logs", NAME, *more)
        assert sorted(told.stdout.splitlines()) == ["driver | hello there", "meter | hello there"], told.stderr
