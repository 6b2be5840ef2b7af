"""Which pods serve: ready by their probes, and found to answer."""

from collections.abc import Sequence

from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import Served, ServedAnswer
from joulebench_operator.servers.plan import ServerPlan
from joulebench_operator.servers.pods_seen import SeenPod


def inquiry(plan: ServerPlan, pod: SeenPod) -> Served | None:
    """What is to be asked of a pod; None while its probes do not find it ready."""
    if not pod.is_ready or pod.ip is None:
        return None
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    command = plan.command
    model = command.served_model_name if command.key_variable is None else None
    return Served(f"http://{host}:{command.port}", command.health_path, model, pod.uid, command.version)


def serves(plan: ServerPlan, pod: SeenPod, cache: Cache, *, recorded: bool) -> bool:
    """Whether it was asked and answered as it should. `recorded`: the status says that it did; this counts until it is
    asked again, so that an operator that was started anew takes no server for lost.
    """
    answer = _answer(plan, pod, cache)
    if answer is None:
        return recorded and inquiry(plan, pod) is not None
    return answer.ready


def complaint(plan: ServerPlan, pod: SeenPod, cache: Cache) -> str | None:
    """What was wrong with its answer."""
    answer = _answer(plan, pod, cache)
    return None if answer is None or answer.ready else answer.message


def version(plan: ServerPlan, pods: Sequence[SeenPod], cache: Cache, *, recorded: str | None) -> str | None:
    """The engine's release, if all pods that serve say the same. `recorded`: what the status says; it counts until all
    were asked.
    """
    answers = [_answer(plan, pod, cache) for pod in pods]
    versions = {recorded if answer is None else answer.version for answer in answers}
    return next(iter(versions)) if len(versions) == 1 else None


def _answer(plan: ServerPlan, pod: SeenPod, cache: Cache) -> ServedAnswer | None:
    asked = inquiry(plan, pod)
    found: ServedAnswer | None = None if asked is None else cache.answer(asked)
    return found
