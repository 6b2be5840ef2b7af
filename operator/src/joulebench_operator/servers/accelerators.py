"""Which accelerators a pod asks for, and on which nodes they are."""

from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.configuration import AcceleratorProfile, OperatorConfiguration
from joulebench_api.names import did_you_mean, joined
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.objects import Object
from joulebench_operator.servers.refusals import RefusedSpecError

DEFAULT_RESOURCE: Final = "nvidia.com/gpu"

_PRODUCT_LABELS: Final = {
    "nvidia.com/": "nvidia.com/gpu.product",
    "amd.com/": "amd.com/gpu.product-name",
    "gpu.intel.com/": "gpu.intel.com/product",
}
"""The label of nodes that names the product, by the beginning of the resource's name: the vendors' own discovery."""

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_NEED_ONE: Final = (Engine.VLLM,)
"""Engines that get accelerators unless `accelerator.count` is 0; others get them only if `accelerator` is written."""


def accelerator_count(spec: ModelServerSpec, engine: Engine) -> int:
    """Accelerators of each pod: as written, else tensor x pipeline x data / nodes."""
    if spec.accelerator is not None and spec.accelerator.count is not None:
        return spec.accelerator.count
    if spec.accelerator is None and engine not in _NEED_ONE:
        return 0
    sizes = spec.parallelism
    return sizes.tensor * sizes.pipeline * sizes.data // sizes.nodes


def resource_name(spec: ModelServerSpec) -> str:
    """The resource that is asked for. Raises RefusedSpecError for a device class, which is asked for otherwise."""
    accelerator = spec.accelerator
    if accelerator is None:
        return DEFAULT_RESOURCE
    if accelerator.device_class_name is not None:
        raise RefusedSpecError(
            f"spec.accelerator.deviceClassName: {accelerator.device_class_name} cannot be had yet; device claims are"
            " not made by this release",
            remedy="use accelerator.resourceName, which device plugins offer",
        )
    return accelerator.resource_name or DEFAULT_RESOURCE


def profile_of(spec: ModelServerSpec, configuration: OperatorConfiguration) -> AcceleratorProfile | None:
    """The administrator's profile that the server names. Raises RefusedSpecError if nobody has configured it."""
    name = None if spec.accelerator is None else spec.accelerator.profile
    if name is None:
        return None
    if name in configuration.accelerators:
        return configuration.accelerators[name]
    there = sorted(configuration.accelerators)
    raise RefusedSpecError(
        f"spec.accelerator.profile: '{name}' is not a profile; "
        + (f"there is {joined(there)}" if there else "none is configured"),
        remedy=did_you_mean(name, there) or "name a configured one, or use resourceName, count and placement",
        reason=Reason.UNKNOWN_ACCELERATOR_PROFILE,
    )


def product_label(resource: str) -> str | None:
    """The label of nodes that names the accelerators' product; None where it is not known."""
    return next((label for prefix, label in _PRODUCT_LABELS.items() if resource.startswith(prefix)), None)


def only_on_products(affinity: Object, *, products: tuple[str, ...], resource: str) -> Object:
    """An affinity that allows only nodes with these products besides. Raises RefusedSpecError if no label tells."""
    label = product_label(resource)
    if label is None:
        raise RefusedSpecError(
            f"spec.accelerator.products: which label of nodes names the products of {resource} is not known",
            remedy="use placement.nodeSelector with your nodes' label",
        )
    expression = {"key": label, "operator": "In", "values": list(products)}
    try:
        return _with_expression(affinity, expression)
    except (AttributeError, TypeError) as error:
        raise RefusedSpecError(
            "spec.placement.affinity: does not have the form of an affinity", remedy="write it as a pod has it"
        ) from error


def _with_expression(affinity: Object, expression: Object) -> Object:
    node = affinity.get("nodeAffinity") or {}
    required = node.get(_REQUIRED) or {}
    anywhere: tuple[Object, ...] = ({},)
    # Terms are alternatives, so each of them has to hold it.
    terms = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), expression]}
        for term in required.get("nodeSelectorTerms") or anywhere
    ]
    return {**affinity, "nodeAffinity": {**node, _REQUIRED: {**required, "nodeSelectorTerms": terms}}}
