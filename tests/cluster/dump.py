"""What is to be seen of a namespace and of the cluster when a test has failed."""

from collections.abc import Iterator

from tests.cluster.cluster import Cluster
from tests.cluster.commands import last_lines
from tests.cluster.errors import ClusterError
from tests.cluster.settings import REPOSITORY

DUMPS = REPOSITORY / ".cache" / "cluster-dumps"
_SHOWN_LINES = 40
_KINDS = "all,pvc,networkpolicies,configmaps,serviceaccounts,joulebench"


def dump(cluster: Cluster, namespace: str | None, *, test: str) -> str:
    """Write everything into a folder of the test's name; a summary with its place."""
    folder = DUMPS / "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in test)
    folder.mkdir(parents=True, exist_ok=True)
    for component in cluster.components:
        (folder / f"{component.replace('/', '-')}.log").write_text(cluster.logs(component))
    shown = [f"all of it: {folder}"]
    for title, text in _looks(cluster, namespace):
        (folder / f"{title}.txt").write_text(text)
        shown.append(f"--- {title}\n{last_lines(text, _SHOWN_LINES)}")
    return "\n".join(shown)


def _looks(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str]]:
    yield "nodes", _tried(cluster, "get", "nodes", "--output=wide")
    yield "all pods", _tried(cluster, "get", "pods", "--all-namespaces", "--output=wide")
    if namespace is not None:
        inside = f"--namespace={namespace}"
        yield "objects", _tried(cluster, inside, "get", _KINDS, "--output=yaml", "--ignore-not-found")
        yield "events", _tried(cluster, inside, "get", "events", "--sort-by=.metadata.creationTimestamp")
        for pod in _tried(cluster, inside, "get", "pods", "--output=name").split():
            name = pod.removeprefix("pod/")
            yield f"log of {name}", _tried(cluster, inside, "logs", name, "--all-containers", "--tail=200")


def _tried(cluster: Cluster, *words: str) -> str:
    try:
        return cluster.kubectl(*words, timeout_seconds=15)
    except ClusterError as error:
        # A dump is made because something is wrong: what cannot be had is said and the rest goes on.
        return str(error)
