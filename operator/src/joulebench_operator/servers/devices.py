"""Which devices a server's pods have. What is known stays in the status; only what is not there is asked for."""

from collections.abc import Mapping

from joulebench_api.v1alpha1.status import MAX_DEVICES
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context
from joulebench_operator.exporters import exporters
from joulebench_operator.inquiry import Devices
from joulebench_operator.objects import Object
from joulebench_operator.servers.status import Observed

Asked = Mapping[str, Devices]
"""What is to be asked, by the pod's name."""


def asked(item: Object, seen: Observed, context: Context) -> Asked:
    """The exporters to ask about pods that run on accelerators and whose devices are not recorded."""
    if not seen.plan.accelerators:
        return {}
    known, measuring = recorded(item), exporters(context)
    return {
        pod.name: Devices(measuring[pod.node], seen.plan.namespace, pod.name, pod.uid)
        for pod in seen.current
        if pod.name not in known and pod.running_since is not None and pod.node in measuring
    }


def recorded(item: Object) -> dict[str, list[str]]:
    """The devices that the status names, by the pod's name."""
    endpoints = (item.get("status") or {}).get("endpoints") or ()
    return {entry["pod"]: list(entry["devices"]) for entry in endpoints if entry.get("devices")}


def devices(item: Object, inquiries: Asked, cache: Cache) -> dict[str, list[str]]:
    """All that is known: the recorded ones, and what exporters have answered since."""
    answers = {pod: cache.answer(inquiry) for pod, inquiry in inquiries.items()}
    return {**recorded(item), **{pod: list(found[:MAX_DEVICES]) for pod, found in answers.items() if found}}
