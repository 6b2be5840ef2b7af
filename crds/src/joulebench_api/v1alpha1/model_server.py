"""ModelServer: a model behind an OpenAI-compatible address."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from joulebench_api.v1alpha1.base import ApiModel, refusal
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.engine import SET_BY_JOULEBENCH, Engine, owned_options
from joulebench_api.v1alpha1.kubernetes import Env, ImagePullSecrets, Open, Placement, PodOverlay, Queue
from joulebench_api.v1alpha1.metadata import Metadata
from joulebench_api.v1alpha1.numbers import Count, PositiveInt
from joulebench_api.v1alpha1.references import ApiKeySecretRef, TokenSecretRef
from joulebench_api.v1alpha1.rules import Violation, exactly_one_of, field_of, not_both, only_with
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


class Parallelism(ApiModel):
    """How one replica is spread over accelerators and nodes."""

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1
    data: PositiveInt = 1
    nodes: PositiveInt = 1

    @model_validator(mode="after")
    def _fits_the_nodes(self) -> Self:
        accelerators = self.tensor * self.pipeline * self.data
        if accelerators % self.nodes:
            message = f"{accelerators} accelerators (tensor x pipeline x data) cannot be spread over {self.nodes} nodes"
            raise refusal(Violation(path=("nodes",), message=message, remedy="choose a divisor", value=self.nodes))
        return self


class Accelerator(ApiModel):
    """Which accelerators each replica gets."""

    profile: NonEmpty | None = None
    """An entry of the administrator's list."""
    resource_name: NonEmpty | None = None
    count: Count | None = None
    """Per pod; 0 for a server on the CPU."""
    products: Annotated[tuple[NonEmpty, ...], ListSet()] | None = None
    device_class_name: NonEmpty | None = None


_ACCELERATOR_RESOURCES = ("nvidia.com/gpu", "nvidia.com/mig-", "amd.com/gpu", "gpu.intel.com/", "google.com/tpu")


def _engine_unless_preset(given: Mapping[str, Any]) -> Iterable[Violation]:
    if "engine" not in given and "preset" not in given:
        yield Violation(path=("engine",), message="required, but missing", remedy=f"add one of {', '.join(Engine)}")


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


class ModelServerSpec(ApiModel):
    """What is served, by which engine, on what."""

    rules = (
        exactly_one_of("model", "preset"),
        _engine_unless_preset,
        _engine_args_owned_by_fields,
        _resources_without_accelerators,
        only_with("idleTimeout", "activation", Activation.ON_DEMAND, default=Activation.ALWAYS),
        not_both(("revision",), ("source", "hub", "revision")),
    )

    engine: Engine | None = None
    """Needed unless a preset says it."""
    model: NonEmpty | None = None
    """A name on a hub, or the path of a file."""
    preset: NonEmpty | None = None
    source: ModelSource | None = None
    revision: NonEmpty | None = None
    served_model_name: NonEmpty | None = None
    """Absent: the model's own name."""
    hugging_face_token_secret_ref: TokenSecretRef | None = None
    api_key_secret_ref: ApiKeySecretRef | None = None
    image: NonEmpty | None = None
    image_pull_policy: ImagePullPolicy | None = None
    image_pull_secrets: ImagePullSecrets | None = None
    engine_args: Open = Field(default_factory=dict)
    """Options of the engine by their long names, without dashes."""
    args: tuple[str, ...] = ()
    """Appended to the command line as they are."""
    env: Env = ()
    replicas: Count = 1
    parallelism: Parallelism = Field(default_factory=Parallelism)
    accelerator: Accelerator | None = None
    max_model_len: PositiveInt | None = None
    """Tokens of prompt and answer that one request may have."""
    resources: Open | None = None
    cache: Cache | None = None
    activation: Activation = Activation.ALWAYS
    idle_timeout: PositiveDuration | None = None
    startup_timeout: PositiveDuration = Duration("30m")
    """From the start of the container until it is ready."""
    placement: Placement | None = None
    queue: Queue | None = None
    service_account_name: NonEmpty | None = None
    pod_template: PodOverlay | None = None


class ModelServer(ApiModel):
    """A model behind an OpenAI-compatible address, used by any number of runs."""

    api_version: Literal["joulebench.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelServer"] = "ModelServer"
    metadata: Metadata
    spec: ModelServerSpec
