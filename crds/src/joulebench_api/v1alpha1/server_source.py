"""One way to say where a model is: for the server, submodels and judge alike."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.decimals import Decimal
from joulebench_api.v1alpha1.metadata import TemplateMetadata
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_api.v1alpha1.references import ApiKeySecretRef, NameRef
from joulebench_api.v1alpha1.rules import Cel, Rule, Violation, exactly_one_of
from joulebench_api.v1alpha1.texts import HttpUrl, NonEmpty


class Access(StrEnum):
    """Whether a run has a server to itself."""

    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"


class Routing(StrEnum):
    """How requests are spread over a server's replicas."""

    LEAST_IN_FLIGHT = "LeastInFlight"
    ROUND_ROBIN = "RoundRobin"
    SERVICE = "Service"


class ModelServerTemplate(ApiModel):
    """A server that the run makes, owns and removes at its end."""

    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata)
    spec: ModelServerSpec


class PodSelector(ApiModel):
    """The pods behind an address, by their labels."""

    match_labels: dict[str, str] = Field(min_length=1, max_length=64)


class TokenPrices(ApiModel):
    """Prices for a million tokens, in the run's currency."""

    input_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None


class External(ApiModel):
    """An OpenAI-compatible server that others run."""

    url: HttpUrl
    """With its `/v1`, if it has one."""
    model: NonEmpty
    api_key_secret_ref: ApiKeySecretRef | None = None
    headers_secret_ref: NameRef | None = None
    """Headers that every call bears: the key `headers` of the Secret, with one `Name: value` in each line."""
    pod_selector: PodSelector | None = None
    """The server's pods, if they run in the same namespace: then their energy can be seen."""
    token_prices: TokenPrices | None = None


def _shared_only_with_a_reference(given: Mapping[str, Any]) -> Iterable[Violation]:
    # Exclusive is the schema's default, so it must be allowed everywhere.
    if given.get("access") == Access.SHARED and "modelServerRef" not in given:
        yield Violation(
            path=("access",),
            message="Shared is allowed only with modelServerRef",
            remedy="remove access: a template belongs to its run, and an external server is not joulebench's to lend",
            value=given["access"],
        )


class ServerSource(ApiModel):
    """Where a model is: a ModelServer, a server made for this run, or one that others run."""

    rules = (
        exactly_one_of("modelServerRef", "template", "external"),
        Rule(
            _shared_only_with_a_reference,
            (
                Cel(
                    "!has(self.access) || self.access != 'Shared' || has(self.modelServerRef)",
                    "Shared is allowed only with modelServerRef",
                    ".access",
                ),
            ),
        ),
    )

    model_server_ref: NameRef | None = None
    """A ModelServer of the same namespace; a run never changes it."""
    template: ModelServerTemplate | None = None
    """A server that the run makes and removes at its end."""
    external: External | None = None
    """A server that others run."""
    access: Access = Access.EXCLUSIVE
    """Exclusive: runs on the same server take turns, the oldest first."""
    routing: Routing | None = None
    """Absent: LeastInFlight, or Service for an external server."""
