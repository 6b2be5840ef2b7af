"""When objects came and how they stand, told by `kubectl get --watch`: each line has the time when it came."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.session import Namespace

JOBS = ("jobs", "--output=jsonpath={.metadata.labels.joulebench\\.dev/run} True{'\\n'}")
FINISHED = (
    "benchmarkruns",
    """--output=jsonpath={.metadata.name} {.status.conditions[?(@.type=="Finished")].status}{'\\n'}""",
)


class Followed:
    """The moment (monotonic) at which a name was first told to be True."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def read(self, lines: Iterator[str]) -> None:
        """Take lines as they come, to their end."""
        for line in lines:
            name, _, value = line.strip().partition(" ")
            if value == "True":
                self.seconds.setdefault(name, time.monotonic())


@contextmanager
def following(namespace: Namespace, what: tuple[str, str]) -> Iterator[Followed]:
    """Follow a kind in a namespace."""
    cluster, found = namespace.cluster, Followed()
    words = ["kubectl", f"--namespace={namespace.name}", "get", what[0], "--watch-only", what[1]]
    with subprocess.Popen(
        [*cluster.enter(), *words], env=cluster.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=found.read, args=(iter(process.stdout.readline, ""),), daemon=True)
        reader.start()
        try:
            yield found
        finally:
            process.terminate()
            reader.join()
