"""`status.resolved`: a server as it really runs."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.engines import vllm
from joulebench_api.merging.layers import written
from joulebench_api.v1alpha1.engine import Engine
from joulebench_operator.objects import Object
from joulebench_operator.servers.accelerators import product_label
from joulebench_operator.servers.plan import ServerPlan
from joulebench_operator.servers.pods_seen import SeenPod

HIDDEN: Final = "***"

_SECRET: Final = re.compile(r"^--?[\w-]*(api[-_]?key|token|secret|password)$", re.IGNORECASE)
_LENGTH: Final = 1024
_ARGUMENTS: Final = 256
"""What the status may hold."""


def resolved(
    plan: ServerPlan,
    pods: Sequence[SeenPod],
    configuration: OperatorConfiguration,
    *,
    engine_version: str | None = None,
) -> Object:
    """What is known; absent is "not known"."""
    digests = {pod.image_digest for pod in pods} - {None}
    known = {
        "image": plan.image,
        # Pods of different images are no state to name one digest in.
        "imageDigest": next(iter(digests)) if len(digests) == 1 else None,
        "engineVersion": engine_version,
        "acceleratorProduct": _product(plan),
        "acceleratorsPerReplica": plan.accelerators,
        "argv": list(redacted(plan.command.argv)),
        "modelRevision": vllm.revision(plan.spec) if plan.engine is Engine.VLLM else None,
        "configuration": {"sha256": configuration_sha256(configuration)},
    }
    return {name: value for name, value in known.items() if value is not None}


def redacted(argv: Sequence[str]) -> Iterator[str]:
    """A command line without what may be a secret; it belongs into Secrets, but `args` may hold anything."""
    hide = False
    for argument in argv[:_ARGUMENTS]:
        name, equals, _ = argument.partition("=")
        if hide and not argument.startswith("--"):
            yield HIDDEN
        else:
            yield f"{name}={HIDDEN}" if equals and _SECRET.match(name) else argument[:_LENGTH]
        hide = not equals and _SECRET.match(argument) is not None


def configuration_sha256(configuration: OperatorConfiguration) -> str:
    """Hash of what the administrator has written, whatever the order."""
    text = json.dumps(written(configuration), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _product(plan: ServerPlan) -> str | None:
    if plan.accelerators == 0:
        return None
    products = (plan.spec.accelerator and plan.spec.accelerator.products) or ()
    if len(products) == 1:
        return products[0]
    selector = (plan.spec.placement and plan.spec.placement.node_selector) or {}
    return selector.get(product_label(plan.resource_name) or "")
