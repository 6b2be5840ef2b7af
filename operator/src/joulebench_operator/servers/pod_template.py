"""The pod of a ModelServer. Pure: the same plan gives the same pod."""

import math
from collections.abc import Iterator
from typing import Any, Final

from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.names import SERVER_LABEL, SERVER_PART
from joulebench_operator.objects import Object, digest, labels
from joulebench_operator.pods import security
from joulebench_operator.pods.overlay import by_key, lay, lay_open, plain
from joulebench_operator.servers.accelerators import only_on_products
from joulebench_operator.servers.model_files import secret_variable, sub_path, variable
from joulebench_operator.servers.plan import ServerPlan
from joulebench_operator.servers.refusals import RefusedSpecError

CONTAINER: Final = "server"
"""The one container of a server's pod."""
TEMPLATE: Final = "joulebench.dev/template"
"""Annotation of pods: hash of the template that they were made from, so that older ones are known at sight."""
CACHE_FOLDER: Final = "/cache"
"""What is fetched or compiled is kept here."""
CACHE_VOLUME: Final = "cache"
GRACE_SECONDS: Final = 60
"""From SIGTERM to SIGKILL, the wait of DRAIN_SECONDS included."""
DRAIN_SECONDS: Final = 5
"""How long a pod that ends still takes requests, since others learn of it with a delay."""

_STARTUP_PERIOD_SECONDS: Final = 2
_STAYS: Final = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""Annotations by which autoscalers leave a pod where it is: a model takes long to load, and runs measure it."""
_VLLM_FOLDERS: Final = (
    variable("HOME", "/tmp"),  # noqa: S108 - a volume of the pod's own
    variable("HF_HOME", f"{CACHE_FOLDER}/huggingface"),
    variable("VLLM_CACHE_ROOT", f"{CACHE_FOLDER}/vllm"),
    variable("TRITON_CACHE_DIR", f"{CACHE_FOLDER}/triton"),
    variable("VLLM_NO_USAGE_STATS", "1"),
)
"""Everything that is worth keeping goes to the cache, and there is a home that any user can write to."""
_PARTS: Final = frozenset({"metadata", "spec", "container"})
_OTHERS_IMAGES: Final = (Engine.VLLM,)
"""Engines whose images are not ours: they may need to be root, and may write outside their volumes."""


def pod_template(plan: ServerPlan) -> Object:
    """`spec.template` of the Deployment."""
    template = {
        "metadata": {"labels": pod_labels(plan), "annotations": dict(_STAYS)},
        "spec": {**_pod_fields(plan), "containers": [_container(plan)], "volumes": list(_volumes(plan))},
    }
    laid = lay(
        _administered(plan, template),
        container=CONTAINER,
        overlay=plan.spec.pod_template,
        placement=plan.spec.placement,
    )
    return _marked(_on_products(plan, laid))


def _administered(plan: ServerPlan, template: Object) -> Object:
    """With what the administrator's profile lays over it. Nobody has checked its form, so that is done here."""
    if plan.profile is None:
        return template
    overlay = plan.profile.pod_template or {}
    # The spec's placement holds the profile's already, but its own lists replace the profile's.
    placed = lay(template, container=CONTAINER, overlay=None, placement=plan.profile.placement)
    try:
        if overlay.keys() <= _PARTS:
            return lay_open(placed, container=CONTAINER, overlay=overlay)
    except (AttributeError, KeyError, TypeError):
        pass
    name = None if plan.spec.accelerator is None else plan.spec.accelerator.profile
    raise RefusedSpecError(
        f"spec.accelerator.profile: what '{name}' lays over pods does not have the form of podTemplate",
        remedy="let the administrator write metadata, spec and container below its podTemplate",
    )


def pod_labels(plan: ServerPlan) -> dict[str, str]:
    """All labels that its pods have of joulebench."""
    return labels(SERVER_PART, instance=plan.name, **{SERVER_LABEL: plan.name})


def _marked(template: Object) -> Object:
    annotations = {**template["metadata"]["annotations"], TEMPLATE: digest(template)}
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}}


def _on_products(plan: ServerPlan, template: Object) -> Object:
    accelerator = plan.spec.accelerator
    if accelerator is None or not accelerator.products or plan.accelerators == 0:
        return template
    spec = template["spec"]
    affinity = only_on_products(spec.get("affinity") or {}, products=accelerator.products, resource=plan.resource_name)
    return {**template, "spec": {**spec, "affinity": affinity}}


def _pod_fields(plan: ServerPlan) -> Object:
    secrets = [{"name": secret.name} for secret in plan.spec.image_pull_secrets or ()]
    account = plan.spec.service_account_name
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security.pod(may_be_root=plan.engine in _OTHERS_IMAGES),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        **({"imagePullSecrets": secrets} if secrets else {}),
        **({} if account is None else {"serviceAccountName": account}),
    }


def _container(plan: ServerPlan) -> Object:
    policy = plan.spec.image_pull_policy
    env_from = list(plan.files.env_from)
    return {
        "name": CONTAINER,
        "image": plan.image,
        **({} if policy is None else {"imagePullPolicy": str(policy)}),
        # Kubernetes would replace `$(NAME)` by a variable's value; arguments are taken as they are.
        "command": [argument.replace("$(", "$$(") for argument in plan.command.argv],
        "env": list(_env(plan)),
        **({"envFrom": env_from} if env_from else {}),
        "ports": [{"name": "http", "containerPort": plan.command.port, "protocol": "TCP"}],
        **_probes(plan),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "resources": _resources(plan),
        "securityContext": security.container(writes_anywhere=plan.engine in _OTHERS_IMAGES),
        "volumeMounts": [*plan.files.mounts, *_mounts(plan)],
    }


def _env(plan: ServerPlan) -> Iterator[Object]:
    """The spec's own variables come last, so that they count."""
    spec = plan.spec
    own = [variable(name, value) for name, value in plan.command.env.items()]
    own += _VLLM_FOLDERS if plan.engine is Engine.VLLM else ()
    own += plan.files.env
    if plan.accelerators == 0:
        # Images for GPUs name all of them, and runtimes then give them to pods that asked for none.
        own.append(variable("NVIDIA_VISIBLE_DEVICES", "void"))
    if plan.command.key_variable is not None and spec.api_key_secret_ref is not None:
        own.append(secret_variable(plan.command.key_variable, spec.api_key_secret_ref))
    administered = () if plan.profile is None else plan.profile.env or ()
    yield from by_key(own, [plain(entry) for entry in (*administered, *spec.env)], key="name")


def _probes(plan: ServerPlan) -> Object:
    asked = {"httpGet": {"path": plan.command.health_path, "port": "http"}, "timeoutSeconds": 5}
    attempts = math.ceil(plan.spec.startup_timeout.seconds / _STARTUP_PERIOD_SECONDS)
    return {
        "startupProbe": {**asked, "periodSeconds": _STARTUP_PERIOD_SECONDS, "failureThreshold": attempts},
        "readinessProbe": {**asked, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**asked, "periodSeconds": 10, "failureThreshold": 6},
    }


def _resources(plan: ServerPlan) -> Object:
    """Requests equal limits wherever only one of them is written, so that nobody takes what is being measured."""
    given = plain(plan.spec.resources)
    requests, limits = given.get("requests") or {}, given.get("limits") or {}
    count = {plan.resource_name: str(plan.accelerators)} if plan.accelerators else {}
    both: dict[str, Any] = {
        "requests": {**limits, **requests, **count},
        "limits": {**requests, **limits, **count},
        "claims": given.get("claims") or (),
    }
    return {name: value for name, value in both.items() if value}


def _volumes(plan: ServerPlan) -> Iterator[Object]:
    yield from plan.files.volumes
    yield {"name": "tmp", "emptyDir": {}}
    if _caches(plan):
        yield {"name": CACHE_VOLUME, **_cache_volume(plan)}
    if plan.engine is Engine.VLLM:
        # The processes of tensor parallelism share it. Its bound is the pod's own memory limit.
        yield {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}


def _mounts(plan: ServerPlan) -> Iterator[Object]:
    yield {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod's own
    if _caches(plan):
        folder = _cache_folder(plan.spec)
        yield {"name": CACHE_VOLUME, "mountPath": CACHE_FOLDER, **({} if folder is None else {"subPath": folder})}
    if plan.engine is Engine.VLLM:
        yield {"name": "shared-memory", "mountPath": "/dev/shm"}  # noqa: S108 - a volume of the pod's own


def _caches(plan: ServerPlan) -> bool:
    return plan.engine is Engine.VLLM or plan.spec.cache is not None


def _cache_volume(plan: ServerPlan) -> Object:
    cache = plan.spec.cache
    if cache is None:
        return {"emptyDir": {}}
    name = plan.cache_claim if cache.claim is None else cache.claim.name
    return {"persistentVolumeClaim": {"claimName": name}}


def _cache_folder(spec: ModelServerSpec) -> str | None:
    claim = None if spec.cache is None else spec.cache.claim
    return None if claim is None else sub_path(claim.path, field="spec.cache.claim.path")
