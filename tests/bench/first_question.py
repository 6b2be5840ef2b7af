"""From the command to the first question, beside inspect-ai's own start, measured in the same run.

Bar: <= 1.5 s besides inspect-ai's own start, <= 6 s in all, on a 2-core machine.
"""

import http.server
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

RUNS = 5
BAR_OWN_SECONDS = 1.5
BAR_ALL_SECONDS = 6.0

# The least that asks a question with inspect-ai: its import and its eval() up to the first solver.
_INSPECT_ALONE = """
import time
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.solver import solver
import sys, os
@solver
def first():
    async def solve(state, generate):
        print(time.monotonic(), flush=True)
        os._exit(0)
    return solve
task = Task(dataset=[Sample(input="hi", target="hi")], solver=first())
eval(task, model="mockllm/model", display="none", log_dir=sys.argv[1])
"""


class _Server(http.server.ThreadingHTTPServer):
    """Answers readiness probes at once and notes when the first real question comes."""

    daemon_threads = True
    first_question: float | None = None


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "bench", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("max_tokens") != 1 and self.server.first_question is None:
            self.server.first_question = time.monotonic()
        if body.get("stream"):
            self._stream()
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
        self._reply({"id": "c", "object": "chat.completion", "created": 1, "model": "bench", "choices": [choice]})

    def _reply(self, document: dict[str, Any]) -> None:
        self._send(json.dumps(document).encode(), "application/json")

    def _stream(self) -> None:
        common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
        chunks = [
            {**common, "choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]},
            {**common, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}},
        ]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self._send(text.encode(), "text/event-stream")

    def _send(self, payload: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _ours(folder: Path) -> float:
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spec = {
        "server": {"external": {"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "bench"}},
        "task": {"name": "everyday", "limit": 1},
        "warmup": {"queries": 0},
        "energy": {"idleBaseline": "0s"},
    }
    document = {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "bench"},
        "spec": spec,
    }
    file = folder / "bench.yaml"
    file.write_text(json.dumps(document))
    begun = time.monotonic()
    command = [str(Path(sys.executable).parent / "joulebench"), "run", str(file), "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    server.shutdown()
    if server.first_question is None:
        raise RuntimeError(f"no question came: {done.stderr}")
    return server.first_question - begun


def _alone(folder: Path) -> float:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _INSPECT_ALONE, str(folder)], capture_output=True, text=True, check=True, timeout=120
    )
    return float(done.stdout.split()[-1]) - begun


def main() -> None:
    """Measure both in turn and print medians."""
    ours, alone = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            alone.append(_alone(Path(one)))
            ours.append(_ours(Path(other)))
    own = statistics.median(mine - theirs for mine, theirs in zip(ours, alone, strict=True))
    every = statistics.median(ours)
    print(f"command to first question ({RUNS} pairs, medians)")
    print(f"  inspect-ai alone   {statistics.median(alone):6.2f} s")
    print(f"  joulebench run     {every:6.2f} s   {every / BAR_ALL_SECONDS:5.2f} of the bar ({BAR_ALL_SECONDS} s)")
    print(f"  ours besides it    {own:6.2f} s   {own / BAR_OWN_SECONDS:5.2f} of the bar ({BAR_OWN_SECONDS} s)")


if __name__ == "__main__":
    main()
