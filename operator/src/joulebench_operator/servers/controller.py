"""What is decided about a ModelServer."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pydantic import ValidationError

from joulebench_api.errors import ApiError
from joulebench_api.v1alpha1.model_server import Activation
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Child, Context, Decision
from joulebench_operator.inquiry import Inquiry
from joulebench_operator.kinds import CLAIM, DEPLOYMENT, MODEL_SERVER, SERVICE, Kind
from joulebench_operator.objects import Object
from joulebench_operator.servers import devices
from joulebench_operator.servers.children import children, selector
from joulebench_operator.servers.failures import last_words
from joulebench_operator.servers.needs import is_needed
from joulebench_operator.servers.plan import ServerPlan, plan_of
from joulebench_operator.servers.pod_template import TEMPLATE
from joulebench_operator.servers.pods_seen import seen_pods
from joulebench_operator.servers.readiness import inquiry, version
from joulebench_operator.servers.refusals import refusal
from joulebench_operator.servers.resolved import resolved
from joulebench_operator.servers.sleeping import Waking, waking
from joulebench_operator.servers.startup import startup
from joulebench_operator.servers.status import Observed, conditions, endpoints, observed, stalled

_MADE = (DEPLOYMENT, SERVICE, CLAIM)
_KEPT_METADATA = ("name", "namespace", "labels", "annotations")


class ServerController:
    """Makes a ModelServer serve, and says how it stands."""

    @property
    def kind(self) -> Kind:
        """ModelServer."""
        return MODEL_SERVER

    def decide(self, item: Object, context: Context) -> Decision:
        """What is to be for a ModelServer that is not being deleted."""
        try:
            return _decision(item, plan_of(item, context), context)
        except (ApiError, ValidationError) as error:
            reason, message = refusal(error)
            return Decision(
                children=tuple(_as_they_are(item, context.cache)),
                conditions=stalled(reason, message),
                status=_what_stays(item),
            )


def _decision(item: Object, plan: ServerPlan, context: Context) -> Decision:
    needed = plan.spec.activation is Activation.ON_DEMAND and is_needed(item, context.cache)
    wake = waking(item, plan.spec, needed=needed, now=context.now)
    wanted = plan.spec.replicas if wake.awake else 0
    made = children(plan, replicas=wanted)
    pods = seen_pods(plan.namespace, selector(plan), context.cache)
    template = made[0].body["spec"]["template"]["metadata"]["annotations"][TEMPLATE]
    seen = observed(item, plan, pods, template=template, wanted=wanted, cache=context.cache)
    of_devices = devices.asked(item, seen, context)
    return Decision(
        children=made,
        conditions=conditions(seen, asleep=not wake.awake, now=context.now),
        status=_status(item, seen, wake, context, devices.devices(item, of_devices, context.cache)),
        inquiries=(*_inquiries(seen), *of_devices.values()),
        again_after_seconds=_again(seen, wake, context),
    )


def _status(
    item: Object, seen: Observed, wake: Waking, context: Context, known_devices: Mapping[str, Sequence[str]]
) -> Object:
    plan = seen.plan
    known = {
        "url": plan.url,
        "model": plan.command.served_model_name,
        "selector": ",".join(f"{name}={value}" for name, value in sorted(selector(plan).items())),
        "replicas": len(seen.current) + len(seen.leaving),
        "readyReplicas": len(seen.served),
        "lastUsedTime": wake.last_used,
        "endpoints": endpoints(seen, known_devices) or None,
        "resolved": resolved(plan, seen.served, context.configuration, engine_version=_engine_version(item, seen)),
        "startup": startup(item, seen.current, served=seen.served, now=context.now) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _engine_version(item: Object, seen: Observed) -> str | None:
    before = ((item.get("status") or {}).get("resolved") or {}).get("engineVersion")
    return version(seen.plan, seen.served, seen.cache, recorded=before)


def _inquiries(seen: Observed) -> Iterator[Inquiry]:
    """Each pod is asked whether it serves; those that ended are asked why."""
    for pod in seen.current:
        served = inquiry(seen.plan, pod)
        words = last_words(pod, seen.plan.namespace)
        if served is not None:
            yield served
        elif words is not None:
            yield words


def _again(seen: Observed, wake: Waking, context: Context) -> float | None:
    """At the next time limit: of sleep, or of a start."""
    limit = timedelta(seconds=seen.plan.spec.startup_timeout.seconds)
    starting = (pod for pod in seen.current if not pod.is_ready and not pod.container.get("started"))
    ends = [since + limit for pod in starting if (since := pod.running_since) is not None]
    left = [seconds for end in ends if (seconds := (end - context.now).total_seconds()) > 0]
    return min([*left, *([] if wake.again_after_seconds is None else [wake.again_after_seconds])], default=None)


def _as_they_are(item: Object, cache: Cache) -> Iterator[Child]:
    """What a server with a spec that cannot be used has already: it is neither changed nor deleted."""
    for kind in _MADE:
        for child in cache.owned(kind, item):
            metadata = {name: child["metadata"][name] for name in _KEPT_METADATA if name in child["metadata"]}
            body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": child.get("spec")}
            yield Child(body, once=True)


def _what_stays(item: Object) -> Object:
    """The rest of the status as it was, since nothing is changed."""
    before = item.get("status") or {}
    return {name: value for name, value in before.items() if name not in ("conditions", "observedGeneration")}
