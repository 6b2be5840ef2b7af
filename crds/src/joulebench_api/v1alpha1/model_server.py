"""ModelServer: a model behind an OpenAI-compatible address."""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, Strict

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.engine import SET_BY_JOULEBENCH, Engine, owned_options, spellings
from joulebench_api.v1alpha1.kubernetes import (
    Arguments,
    DeclaredKeys,
    Env,
    ImagePullSecrets,
    Open,
    Placement,
    PodOverlay,
    Queue,
    ResourceRequirements,
)
from joulebench_api.v1alpha1.metadata import Metadata
from joulebench_api.v1alpha1.numbers import Count, PositiveInt
from joulebench_api.v1alpha1.references import ApiKeySecretRef, TokenSecretRef
from joulebench_api.v1alpha1.rules import Cel, Rule, Violation, escaped, exactly_one_of, field_of, not_both, only_with
from joulebench_api.v1alpha1.storage import Cache, ModelSource
from joulebench_api.v1alpha1.texts import Duration, NonEmpty, PositiveDuration

API_VERSION: Final = "joulebench.dev/v1alpha1"


class ImagePullPolicy(StrEnum):
    """When an image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Activation(StrEnum):
    """Whether a server runs all the time or only while somebody needs it."""

    ALWAYS = "Always"
    ON_DEMAND = "OnDemand"


ParallelSize = Annotated[int, Strict(), Field(ge=1, le=1024)]


def _fits_the_nodes(given: Mapping[str, Any]) -> Iterable[Violation]:
    sizes = {field: given.get(field, 1) for field in ("tensor", "pipeline", "data", "nodes")}
    # What is no number from 1 is told by its own field.
    if any(type(size) is not int or size < 1 for size in sizes.values()):
        return
    nodes = sizes.pop("nodes")
    accelerators = math.prod(sizes.values())
    if accelerators % nodes:
        message = f"{accelerators} accelerators (tensor x pipeline x data) cannot be spread over {nodes} nodes"
        yield Violation(path=("nodes",), message=message, remedy="choose a divisor", value=nodes)


def _or_one(field: str) -> str:
    return f"(has(self.{field}) ? self.{field} : 1)"


_FITS_THE_NODES = Cel(
    f"({_or_one('tensor')} * {_or_one('pipeline')} * {_or_one('data')}) % {_or_one('nodes')} == 0",
    "tensor x pipeline x data accelerators cannot be spread over so many nodes; choose a divisor",
    ".nodes",
)


class Parallelism(ApiModel):
    """How one replica is spread over accelerators and nodes."""

    rules = (Rule(_fits_the_nodes, (_FITS_THE_NODES,)),)

    tensor: ParallelSize = 1
    pipeline: ParallelSize = 1
    data: ParallelSize = 1
    nodes: ParallelSize = 1


class Accelerator(ApiModel):
    """Which accelerators each replica gets."""

    profile: NonEmpty | None = None
    """An entry of the administrator's list."""
    resource_name: NonEmpty | None = None
    count: Count | None = None
    """Per pod; 0 for a server on the CPU."""
    products: Annotated[tuple[NonEmpty, ...], ListSet(), Field(max_length=32)] | None = None
    device_class_name: NonEmpty | None = None


_ACCELERATOR_RESOURCES = ("nvidia.com/gpu", "nvidia.com/mig-", "amd.com/gpu", "gpu.intel.com/", "google.com/tpu")


def _engine_unless_preset(given: Mapping[str, Any]) -> Iterable[Violation]:
    if "engine" not in given and "preset" not in given:
        yield Violation(path=("engine",), message="required, but missing", remedy=f"add one of {', '.join(Engine)}")


_ENGINE_UNLESS_PRESET = Rule(
    _engine_unless_preset,
    (Cel("has(self.engine) || has(self.preset)", f"required, but missing; add one of {', '.join(Engine)}", ".engine"),),
)


def _engine_args_owned_by_fields(given: Mapping[str, Any]) -> Iterable[Violation]:
    owned = owned_options(next((engine for engine in Engine if engine == given.get("engine")), None))
    options = given.get("engineArgs")
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _option(str(key), value, owned)


def _option(key: str, value: Any, owned: Mapping[str, str]) -> Iterable[Violation]:
    path = ("engineArgs", key)
    name = key.lstrip("-").replace("_", "-")
    # `no-metrics: true` is `metrics: false` by another name.
    owner = owned.get(name) or owned.get(name.removeprefix("no-"))
    if owner is not None:
        remedy = "remove it" if owner == SET_BY_JOULEBENCH else f"use the field {owner}"
        yield Violation(path=path, message=f"is set by {_owner_text(owner)}", remedy=remedy)
    elif key.startswith("-"):
        yield Violation(path=path, message="options are written without dashes", remedy=f"write {name}", value=value)


def _owner_text(owner: str) -> str:
    return "joulebench itself" if owner == SET_BY_JOULEBENCH else f"the field {owner}"


def _no_owned_options(engine: Engine | None) -> Iterable[Cel]:
    """One rule for each engine; options that all engines share are forbidden whatever the engine is."""
    shared = owned_options(None)
    options = {name: owner for name, owner in owned_options(engine).items() if engine is None or name not in shared}
    if not options:
        return
    found = " || ".join(f"has(self.engineArgs.{escaped(way)})" for name in options for way in spellings(name))
    other_engine = "" if engine is None else f"!has(self.engine) || self.engine != '{engine}' || "
    owners = ", ".join(f"{name} ({_owner_text(owner)})" for name, owner in options.items())
    yield Cel(
        f"{other_engine}!has(self.engineArgs) || !({found})", f"holds what is set elsewhere: {owners}", ".engineArgs"
    )


_ENGINE_ARGS_OWNED_BY_FIELDS = Rule(
    _engine_args_owned_by_fields,
    tuple(cel for engine in (None, *Engine) for cel in _no_owned_options(engine)),
    python_only="the API server sees only those keys of an open object that the schema declares: leading dashes and"
    " mixed spellings such as tensor-parallel_size are found here alone",
)


def _owned_keys() -> tuple[str, ...]:
    owned = (name for engine in (None, *Engine) for name in owned_options(engine))
    return tuple(dict.fromkeys(way for name in owned for way in spellings(name)))


EngineArgs = Annotated[Open, DeclaredKeys(_owned_keys())]
"""Options of an engine by their long names, without dashes."""


def _resources_without_accelerators(given: Mapping[str, Any]) -> Iterable[Violation]:
    own = field_of(given, "accelerator", "resourceName")
    for block in ("requests", "limits"):
        resources = field_of(given, "resources", block)
        for name in resources if isinstance(resources, Mapping) else ():
            if name == own or str(name).startswith(_ACCELERATOR_RESOURCES):
                yield Violation(
                    path=("resources", block, name),
                    message="accelerators are not asked for here",
                    remedy="use the field accelerator",
                )


def _no_accelerators_in(block: str) -> Cel:
    own = "has(self.accelerator) && has(self.accelerator.resourceName) && name == self.accelerator.resourceName"
    others = " || ".join(f"name.startsWith('{prefix}')" for prefix in _ACCELERATOR_RESOURCES)
    return Cel(
        f"!has(self.resources) || !has(self.resources.{block})"
        f" || !self.resources.{block}.exists(name, {others} || ({own}))",
        "accelerators are not asked for here; use the field accelerator",
        f".resources.{block}",
    )


_RESOURCES_WITHOUT_ACCELERATORS = Rule(
    _resources_without_accelerators, (_no_accelerators_in("requests"), _no_accelerators_in("limits"))
)


IMMUTABLE_FIELDS = ("engine", "model", "preset")
"""Attributes of a server's spec that may not be changed after creation; all others may."""


class ModelServerSpec(ApiModel):
    """What is served, by which engine, on what."""

    rules = (
        exactly_one_of("model", "preset"),
        _ENGINE_UNLESS_PRESET,
        _ENGINE_ARGS_OWNED_BY_FIELDS,
        _RESOURCES_WITHOUT_ACCELERATORS,
        only_with("idleTimeout", "activation", Activation.ON_DEMAND, default=Activation.ALWAYS),
        not_both(("revision",), ("source", "hub", "revision")),
    )

    engine: Engine | None = None
    """Needed unless a preset says it."""
    model: NonEmpty | None = None
    """A name on a hub, or the path of a file."""
    preset: NonEmpty | None = None
    """A model and its engine by one word: built in, or of the administrator's configuration."""
    source: ModelSource | None = None
    """Absent: the hub, by the engine's own rules."""
    revision: NonEmpty | None = None
    """Of the model on the hub; absent: the newest, which is recorded."""
    served_model_name: NonEmpty | None = None
    """Absent: the model's own name."""
    hugging_face_token_secret_ref: TokenSecretRef | None = None
    api_key_secret_ref: ApiKeySecretRef | None = None
    image: NonEmpty | None = None
    """Absent: the administrator's for the engine."""
    image_pull_policy: ImagePullPolicy | None = None
    image_pull_secrets: ImagePullSecrets | None = None
    engine_args: EngineArgs = Field(default_factory=dict)
    """Options of the engine by their long names, without dashes."""
    args: Arguments = ()
    """Appended to the command line as they are."""
    env: Env = ()
    replicas: Count = 1
    """Never written by the operator, so that an autoscaler may own it."""
    parallelism: Parallelism = Field(default_factory=Parallelism)
    accelerator: Accelerator | None = None
    max_model_len: PositiveInt | None = None
    """Tokens of prompt and answer that one request may have."""
    resources: ResourceRequirements | None = None
    """Of each pod; accelerators are asked for by `accelerator`."""
    cache: Cache | None = None
    activation: Activation = Activation.ALWAYS
    """OnDemand: off until a run or a campaign needs it."""
    idle_timeout: PositiveDuration | None = None
    """How long it stays up unused; only with OnDemand. Absent: 10m."""
    startup_timeout: PositiveDuration = Duration("30m")
    """From the start of the container until it is ready."""
    placement: Placement | None = None
    queue: Queue | None = None
    service_account_name: NonEmpty | None = None
    """One that the administrator allows; its token is never mounted."""
    pod_template: PodOverlay | None = None


class ModelServer(ApiModel):
    """A model behind an OpenAI-compatible address, used by any number of runs."""

    api_version: Literal["joulebench.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelServer"] = "ModelServer"
    metadata: Metadata
    spec: ModelServerSpec
