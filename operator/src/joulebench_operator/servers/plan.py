"""What a ModelServer's spec comes to: everything that is decided before any object is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.configuration import AcceleratorProfile, OperatorConfiguration
from joulebench_api.defaults import resolve_server
from joulebench_api.engines import vllm
from joulebench_api.engines.command import EngineCommand
from joulebench_api.engines.presets import PRESETS
from joulebench_api.engines.registry import builder, engine_of
from joulebench_api.engines.vllm_options import doubts
from joulebench_api.names import did_you_mean, joined
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.decision import Context, Settings
from joulebench_operator.objects import Object
from joulebench_operator.remembering import Remembered
from joulebench_operator.servers.accelerators import accelerator_count, profile_of, resource_name
from joulebench_operator.servers.allowed import check_allowed
from joulebench_operator.servers.model_files import ModelFiles, model_files
from joulebench_operator.servers.refusals import RefusedSpecError

PORT: Final = 8000
"""Where every server answers, in the pod and at its Services."""
ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - the pod's own network

_BUILT_IN_IMAGES: Final[Mapping[Engine, str]] = {Engine.VLLM: vllm.DEFAULT_IMAGE}


@dataclass(frozen=True)
class ServerPlan:
    """A server with every default filled in."""

    name: str
    namespace: str
    spec: ModelServerSpec
    """With the configuration's defaults."""
    engine: Engine
    image: str
    command: EngineCommand
    """Without the spec's own `env`, which is the pod's."""
    accelerators: int
    """Of each pod; 0: it is served by the CPU."""
    resource_name: str
    """The resource that accelerators are asked for by."""
    files: ModelFiles
    profile: AcceleratorProfile | None = None
    """The administrator's accelerator profile that it names."""
    doubts: tuple[str, ...] = ()
    """What may be wrong, but is not refused."""

    @property
    def deployment(self) -> str:
        """Name of its Deployment."""
        return self.name

    @property
    def service(self) -> str:
        """Name of the Service in front of all its pods."""
        return self.name

    @property
    def headless(self) -> str:
        """Name of the Service whose addresses are its ready pods."""
        return f"{self.name}-h"

    @property
    def cache_claim(self) -> str:
        """Name of the claim that is made for `cache.claimTemplate`."""
        return f"{self.name}-cache"

    @property
    def url(self) -> str:
        """Where it answers inside the cluster, with its `/v1`."""
        return f"http://{self.service}.{self.namespace}.svc:{self.command.port}/v1"


def server_plan(
    name: str, namespace: str, spec: ModelServerSpec, *, configuration: OperatorConfiguration, settings: Settings
) -> ServerPlan:
    """The plan of a server. Pure.

    Raises ApiError (RefusedSpecError where another reason than InvalidSpec is meant; see `refusals.refusal`) or
    pydantic's ValidationError for a spec that cannot be used here.
    """
    _check_preset(spec, configuration)
    resolved = resolve_server(_with_engine(spec, configuration), configuration=configuration, namespace=namespace)
    engine = engine_of(resolved)
    build = builder(engine)
    files = model_files(resolved, engine, namespace=namespace, configuration=configuration)
    # The pod takes the spec's variables as they are, references included.
    bare = resolved.model_copy(update={"env": ()})
    plan = ServerPlan(
        name=name,
        namespace=namespace,
        spec=resolved,
        engine=engine,
        image=_image(resolved, engine, settings),
        command=build(bare, model_path=files.path, host=ALL_ADDRESSES, port=PORT),
        accelerators=accelerator_count(resolved, engine),
        resource_name=resource_name(resolved),
        files=files,
        profile=profile_of(resolved, configuration),
        doubts=doubts(resolved) if engine is Engine.VLLM else (),
    )
    check_allowed(plan.image, written=spec, resolved=resolved, configuration=configuration, settings=settings)
    return plan


def plan_of(item: Object, context: Context) -> ServerPlan:
    """The plan of a ModelServer. Raises as `server_plan`."""
    return _PLANNED(item, context)


def _plan_of(item: Object, context: Context) -> ServerPlan:
    spec = ModelServerSpec.model_validate(item.get("spec") or {})
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    return server_plan(name, namespace, spec, configuration=context.configuration, settings=context.settings)


_PLANNED: Final = Remembered(_plan_of)


def _check_preset(spec: ModelServerSpec, configuration: OperatorConfiguration) -> None:
    name = spec.preset
    if name is None or name in configuration.presets or name in PRESETS:
        return
    there = sorted({*configuration.presets, *PRESETS})
    raise RefusedSpecError(
        f"spec.preset: '{name}' is not a preset; there is {joined(there)}",
        remedy=did_you_mean(name, there) or "name one of them, or give engine and model",
        reason=Reason.UNKNOWN_PRESET,
    )


def _with_engine(spec: ModelServerSpec, configuration: OperatorConfiguration) -> ModelServerSpec:
    """A built-in preset's engine said aloud, so that what is configured for the engine counts."""
    preset = PRESETS.get(spec.preset or "")
    if preset is None or spec.preset in configuration.presets or spec.engine is not None:
        return spec
    return spec.model_copy(update={"engine": preset.engine})


def _image(spec: ModelServerSpec, engine: Engine, settings: Settings) -> str:
    """The spec's image (the configuration's, where it names none), else this release's, else the engine's own."""
    image = spec.image or settings.images.get(engine) or _BUILT_IN_IMAGES.get(engine)
    if image is None:
        raise RefusedSpecError(
            f"spec.image: no image is known for the engine {engine}",
            remedy=f"set image, or let the administrator set engines.{engine}.image in the operator's configuration",
        )
    return image
