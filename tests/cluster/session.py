"""A namespace of a cluster, and what tests do in it."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.commands import attempt
from tests.cluster.errors import ClusterError
from tests.cluster.objects import Object


@dataclass(frozen=True)
class Namespace:
    """A namespace, and the commands in it."""

    cluster: Cluster
    name: str

    def kubectl(self, *words: str, text: str | None = None, timeout_seconds: float = 90) -> str:
        """The output of kubectl in this namespace, which must succeed."""
        return self.cluster.kubectl(
            f"--namespace={self.name}", *words, text=text, timeout_seconds=timeout_seconds
        ).strip()

    def refusal(self, *words: str, text: str | None = None) -> str:
        """The words of kubectl where it must fail."""
        argv = [*self.cluster.enter(), "kubectl", f"--namespace={self.name}", *words]
        finished = attempt(argv, text=text, environment=self.cluster.environment)
        assert finished.returncode != 0, f"went well, and should not: {finished.stdout}"
        return finished.stderr.strip()

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects."""
        self.cluster.apply(*objects, namespace=self.name)

    def get(self, kind: str, name: str) -> Object:
        """An object."""
        found: Object = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def available(self, deployment: str, *, timeout_seconds: int = 60) -> None:
        """Wait until a Deployment is available."""
        self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={timeout_seconds}s")

    def ready(self, pod: str, *, timeout_seconds: int = 60) -> None:
        """Wait until a pod is ready."""
        self.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={timeout_seconds}s")

    def said(self, pod: Object, *, timeout_seconds: int = 60) -> str:
        """Run a pod to its good end; what it said."""
        self.apply(pod)
        name = pod["metadata"]["name"]
        phase = self.ended(name, timeout_seconds=timeout_seconds)
        words = self.kubectl("logs", name)
        assert phase == "Succeeded", words
        return words

    def ended(self, pod: str, *, timeout_seconds: int = 60) -> str:
        """How a pod ended."""

        def phase() -> str:
            found = self.kubectl("get", "pod", pod, "--output=jsonpath={.status.phase}")
            return found if found in {"Succeeded", "Failed"} else ""

        return str(self.cluster.wait(phase, what=f"the end of pod {pod}", timeout_seconds=timeout_seconds))

    def claimed(self, claim: str) -> Path:
        """The files of a claim's volume on the first node, as this process sees them."""
        volume = self.get("pvc", claim)["spec"]["volumeName"]
        return self.cluster.layout.node("node0", 0).volumes / str(volume)

    def fetched(self, url: str) -> str | None:
        """The page behind a URL, seen from the first node; None if nobody answers."""
        try:
            fetch = ["python3", "-c", _FETCH, url]
            return self.cluster.run(fetch, timeout_seconds=20).strip()
        except ClusterError:
            return None

    def in_pod(self, pod: str, *errand: str) -> bool:
        """Whether an errand in a running pod goes well."""
        argv = ["kubectl", f"--namespace={self.name}", "exec", pod, "--", "python3", "/usr/local/bin/workload", *errand]
        return attempt([*self.cluster.enter(), *argv], environment=self.cluster.environment).returncode == 0

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """The URL behind which `kubectl port-forward` answers, in the cluster's network."""
        argv = ["kubectl", f"--namespace={self.name}", "port-forward", target, f":{port}"]
        with subprocess.Popen(
            [*self.cluster.enter(), *argv], env=self.cluster.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                # Forwarding from 127.0.0.1:PORT -> 8000
                yield "http://" + process.stdout.readline().split()[2]
            finally:
                process.terminate()


_FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode())"
