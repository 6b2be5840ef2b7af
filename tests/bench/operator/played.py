"""What KWOK makes of the pods: it plays kubelet, preflight, driver and meter. What they say is said here.

python -m tests.bench.operator.played   # the pods' servers: every address of a fake pod answers from this process
"""

import asyncio
import json
from textwrap import dedent
from typing import Any

import yaml
from aiohttp import web
from tests.cluster.manifests import manifest

from joulebench_api.contracts.meter import EnergyState, MeterStatus, Progress, ResolvedTask, Stage
from joulebench_api.contracts.ports import METER_STATUS_PORT
from joulebench_api.contracts.preflight import PreflightReport
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.v1alpha1.status import RunCounts, RunSummary, StoredFile

MODEL = "simulator"
QUESTIONS = 20
RUN_SECONDS = 3.0
SERVER_PORT = 8000
_KEPT_STAGES = ("node-initialize", "pod-delete")
_TASK = ResolvedTask(name="everyday", revision="bench", records=QUESTIONS, sha256="0" * 64)
_PASSED = PreflightReport(runner_version="bench", task=_TASK)
_COUNTS = RunCounts(asked=QUESTIONS, answered=QUESTIONS, correct=10, incorrect=10, unscored=0, errors=0)
_LAST_WORDS = TerminationMessage(
    state="completed",
    task=_TASK,
    runner_version="bench",
    summary=RunSummary(counts=_COUNTS),
    results=StoredFile(url="s3://bench/results", sha256="0" * 64, bytes=1),
)
_ASKING = MeterStatus(
    run_id="bench",
    stage=Stage.RUN,
    stage_started_seconds_ago=1,
    servers=[],
    progress=Progress(total=QUESTIONS, asked=10, answered=10, correct=5, incorrect=5),
    energy=EnergyState(),
)


def stages() -> str:
    """KWOK's stages: pods run at once; those of Jobs complete after a while, and leave the runner's messages."""
    kept = [one for one in yaml.safe_load_all(manifest("kwok-stages")) if one["metadata"]["name"] in _KEPT_STAGES]
    return yaml.safe_dump_all([*kept, _running(), _ended()])


def _running() -> Any:
    ended = _terminated(
        f'{{{{ if eq .name "preflight" }}}}{_quoted(_PASSED.as_message())}{{{{ else }}}}""{{{{ end }}}}'
    )
    template = f"""
      conditions:
      {{{{ range $type := list "Initialized" "Ready" "ContainersReady" }}}}
      - {{type: {{{{ $type | Quote }}}}, status: "True", lastTransitionTime: {{{{ Now | Quote }}}}}}
      {{{{ end }}}}
      {{{{ if .spec.initContainers }}}}
      initContainerStatuses:
      {{{{ range .spec.initContainers }}}}
      - {{name: {{{{ .name | Quote }}}}, image: {{{{ .image | Quote }}}}, ready: true, restartCount: 0, state: {ended}}}
      {{{{ end }}}}
      {{{{ end }}}}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - {{name: {{{{ .name | Quote }}}}, image: {{{{ .image | Quote }}}}, ready: true, restartCount: 0, state: {{running: {{startedAt: {{{{ Now | Quote }}}}}}}}}}
      {{{{ end }}}}
      podIP: {{{{ index (PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace) 0 | Quote }}}}
      phase: Running
      startTime: {{{{ Now | Quote }}}}
      """  # noqa: E501 - a line of the template each
    return _stage("pod-ready", "Pending", {"statusTemplate": dedent(template)})


def _ended() -> Any:
    ended = _terminated(
        f'{{{{ if eq .name "meter" }}}}{_quoted(_LAST_WORDS.as_message())}{{{{ else }}}}""{{{{ end }}}}'
    )
    template = f"""
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - {{name: {{{{ .name | Quote }}}}, image: {{{{ .image | Quote }}}}, ready: false, restartCount: 0, state: {ended}}}
      {{{{ end }}}}
      phase: Succeeded
      """  # noqa: E501 - a line of the template each
    of_jobs = {"key": ".metadata.ownerReferences.[].kind", "operator": "In", "values": ["Job"]}
    found = _stage("pod-complete", "Running", {"statusTemplate": dedent(template)}, of_jobs)
    return {**found, "spec": {**found["spec"], "delay": {"durationMilliseconds": round(RUN_SECONDS * 1000)}}}


def _terminated(message: str) -> str:
    times = "startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}"
    return f"{{terminated: {{exitCode: 0, reason: Completed, {times}, message: {message}}}}}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _stage(name: str, phase: str, what_is_next: Any, *more: Any) -> Any:
    expressions = [
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": [phase]},
        *more,
    ]
    spec = {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {"matchExpressions": expressions},
        "next": what_is_next,
    }
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


async def _serve() -> None:
    """Model servers and meters, for whatever address they are asked at."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/health", _answer({})),
            web.get("/v1/models", _answer({"object": "list", "data": [{"id": MODEL, "object": "model"}]})),
            web.post("/v1/chat/completions", _answer({"choices": []})),
            web.get("/status", _answer(json.loads(_ASKING.model_dump_json()))),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    for port in (SERVER_PORT, METER_STATUS_PORT):
        await web.TCPSite(runner, "0.0.0.0", port).start()
    await asyncio.Event().wait()


def _answer(body: Any) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(body)

    return handle


if __name__ == "__main__":
    asyncio.run(_serve())
