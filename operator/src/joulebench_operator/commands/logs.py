"""`joulebench logs`: what the pods of a run write."""

import threading
from collections.abc import Sequence
from typing import Final

import click

from joulebench_operator.commands.cluster import Cluster, cluster_options, connect
from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.names import FINALISE_PART, PART_LABEL, PREFLIGHT_PART, RUN_LABEL, RUNNER_PART
from joulebench_operator.objects import Object

_EPILOG = """
\b
Examples:
  joulebench logs nightly                        of the newest pod: preflight's, then the runner's
  joulebench logs nightly -f                     and what is written from now on
  joulebench logs nightly --container meter --tail 50
"""
_PARTS: Final = (RUNNER_PART, PREFLIGHT_PART, FINALISE_PART)
_BEGUN: Final = ("running", "terminated")


@click.command(epilog=_EPILOG, short_help="Print what a run on a cluster writes.")
@click.argument("run")
@cluster_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until the pod ends.")
@click.option("-c", "--container", help="Of this container only, such as meter or driver.")
@click.option("--part", type=click.Choice([*_PARTS]), help="Of the newest pod of this part.  [default: any]")
@click.option("--tail", type=click.IntRange(min=0), help="The last lines of each container only.")
def logs(
    run: str,
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    follow: bool,
    container: str | None,
    part: str | None,
    tail: int | None,
) -> None:
    """Print what the newest pod of the BenchmarkRun RUN has written, each line after its container's name."""
    cluster = connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    cluster.run(run)
    pod = newest(cluster.pods({RUN_LABEL: run}), parts=(part,) if part else _PARTS)
    if pod is None:
        raise CommandError(
            f"{run} has no pod", remedy=f"`joulebench status {run}` says why; the pods of ended runs go after a while"
        )
    names = chosen(pod, container)
    click.echo(f"pod {pod['metadata']['name']}", err=True)
    (_together if follow else _in_turn)(cluster, pod, names, tail=tail)


def newest(pods: Sequence[Object], *, parts: Sequence[str]) -> Object | None:
    """The newest pod of the run itself; its servers' pods have other parts. `pods`: the oldest first."""
    found = [pod for pod in pods if pod["metadata"]["labels"].get(PART_LABEL) in parts]
    return found[-1] if found else None


def chosen(pod: Object, container: str | None) -> list[str]:
    """The containers that have begun, in the order in which they begin.

    Raises BadRequestError for a container that the pod has not, CommandError while none has begun.
    """
    spec = pod["spec"]
    known = [one["name"] for one in (*(spec.get("initContainers") or ()), *spec["containers"])]
    if container is not None and container not in known:
        raise BadRequestError(
            f"--container: pod {pod['metadata']['name']} has no {container!r}", remedy=f"it has {', '.join(known)}"
        )
    found = [name for name in known if name in _begun(pod) and container in {None, name}]
    if not found:
        phase = pod.get("status", {}).get("phase", "Pending")
        raise CommandError(
            f"pod {pod['metadata']['name']} has written nothing yet: it is {phase}",
            remedy="try again in a moment; `kubectl describe pod` says what it waits for",
        )
    return found


def _begun(pod: Object) -> set[str]:
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return {one["name"] for one in states if any(name in one.get("state", {}) for name in _BEGUN)}


def _in_turn(cluster: Cluster, pod: Object, names: Sequence[str], *, tail: int | None) -> None:
    for name in names:
        _print(cluster, pod, name, follow=False, tail=tail)


def _together(cluster: Cluster, pod: Object, names: Sequence[str], *, tail: int | None) -> None:
    """Follow all containers at once."""
    failures: list[CommandError] = []

    def follow(name: str) -> None:
        try:
            _print(cluster, pod, name, follow=True, tail=tail)
        except CommandError as error:
            failures.append(error)

    # Daemons: Ctrl-C ends the command although they wait for more.
    threads = [threading.Thread(target=follow, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _print(cluster: Cluster, pod: Object, container: str, *, follow: bool, tail: int | None) -> None:
    for line in cluster.log(pod["metadata"]["name"], container, follow=follow, tail=tail):
        click.echo(f"{container} | {line}")
