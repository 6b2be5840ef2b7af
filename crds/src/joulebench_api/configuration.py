"""OperatorConfiguration (`config.joulebench.dev/v1alpha1`): what an administrator says for a fleet. A file, not a kind.

On a cluster it is the chart's value `config`; `joulebench run --config FILE` reads the same file. Secrets are named
here, never held, and are always looked up in the namespace of the run.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.decimals import Decimal
from joulebench_api.v1alpha1.derived import overlay_of
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.execution import Runner
from joulebench_api.v1alpha1.kubernetes import Env, Open, Placement
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_api.v1alpha1.results import Results
from joulebench_api.v1alpha1.server_source import TokenPrices
from joulebench_api.v1alpha1.texts import HttpUrl, NonEmpty

CONFIG_API_VERSION: Final = "config.joulebench.dev/v1alpha1"

MAX_ENTRIES = 1000
"""Of each map and list in the file."""

CONFIGURABLE = ("concurrency", "energy", "cost", "results", "runner")
"""Fields of a run that a configuration may fill. Only fields without a schema default: those with one always say
something, so a configured value would never count."""

_CONFIGURABLE_OF = {
    "results": ("store",),
    "runner": ("image", "image_pull_secrets", "resources", "ca_bundle_config_map_ref"),
}

CONFIGURABLE_OF_SERVERS = ("image_pull_secrets", "resources")

if TYPE_CHECKING:

    class _RunDefaults(ApiModel):
        """Made from `BenchmarkRunSpec`."""

    class ServerDefaults(ApiModel):
        """Made from `ModelServerSpec`."""

    class _PresetServer(ApiModel):
        """Made from `ModelServerSpec`."""

    class EngineDefaults(ApiModel):
        """Made from `ModelServerSpec`."""

else:

    def _all_but(model: type[ApiModel], kept: tuple[str, ...]) -> set[str]:
        return set(model.model_fields) - set(kept)

    _RunDefaults = overlay_of(
        BenchmarkRunSpec,
        name="RunDefaults",
        only=CONFIGURABLE,
        without={
            Results: _all_but(Results, _CONFIGURABLE_OF["results"]),
            Runner: _all_but(Runner, _CONFIGURABLE_OF["runner"]),
        },
    )
    ServerDefaults = overlay_of(ModelServerSpec, name="ServerDefaults", only=CONFIGURABLE_OF_SERVERS)
    _PresetServer = overlay_of(
        ModelServerSpec,
        name="PresetServer",
        without={ModelServerSpec: {"engine", "model", "preset", "replicas", "activation", "idle_timeout"}},
    )
    EngineDefaults = overlay_of(
        ModelServerSpec, name="EngineDefaults", only=("image", "image_pull_policy", "resources", "env")
    )


class HubDefaults(ApiModel):
    """The hub that is meant where a source names none."""

    endpoint: HttpUrl | None = None


class Defaults(_RunDefaults):
    """What counts where a run, a campaign or a server says nothing."""

    model_server: ServerDefaults | None = None
    hub: HubDefaults | None = None


class AcceleratorProfile(ApiModel):
    """Accelerators that users pick by name: where they are, and what a pod needs to use them."""

    resource_name: NonEmpty | None = None
    device_class_name: NonEmpty | None = None
    products: Annotated[tuple[NonEmpty, ...], ListSet(), Field(max_length=MAX_ENTRIES)] | None = None
    placement: Placement | None = None
    env: Env | None = None
    pod_template: Open | None = None
    """Laid over the pods of servers as it is, privileged fields (host network, host paths, capabilities) included."""


class Preset(_PresetServer):
    """A server that users name by one word."""

    engine: Engine
    model: NonEmpty


class ExternalEndpoints(StrEnum):
    """Whether runs may ask servers that joulebench did not make."""

    ALLOW = "Allow"
    DENY = "Deny"


class Policy(ApiModel):
    """What users may ask for."""

    images: Annotated[tuple[NonEmpty, ...], ListSet(), Field(max_length=MAX_ENTRIES)] | None = None
    """Patterns (`*` stands for anything) of images that may be run; absent: all."""
    service_accounts: Annotated[tuple[NonEmpty, ...], ListSet(), Field(max_length=MAX_ENTRIES)] = ()
    """Service accounts that pods may be given; empty: none."""
    external_endpoints: ExternalEndpoints = ExternalEndpoints.ALLOW


class Prices(ApiModel):
    """Prices by name, for runs that say none of their own."""

    accelerator_per_hour: dict[str, Decimal] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    """By product, such as `NVIDIA-H100-80GB-HBM3`."""
    tokens: dict[str, TokenPrices] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    """By the model's name at an external endpoint."""


class OperatorConfiguration(ApiModel):
    """The whole file. Nothing in it is needed."""

    api_version: Literal["config.joulebench.dev/v1alpha1"] = CONFIG_API_VERSION
    kind: Literal["OperatorConfiguration"] = "OperatorConfiguration"
    defaults: Defaults = Field(default_factory=Defaults)
    namespaces: dict[str, Defaults] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    """By namespace; what is said here goes before `defaults`."""
    accelerators: dict[str, AcceleratorProfile] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    engines: dict[Engine, EngineDefaults] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    presets: dict[str, Preset] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    policy: Policy = Field(default_factory=Policy)
    prices: Prices = Field(default_factory=Prices)
