"""Where models, data and results lie."""

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.references import ClaimRef, NameRef, TokenSecretRef
from joulebench_api.v1alpha1.rules import exactly_one_of
from joulebench_api.v1alpha1.texts import HttpUrl, NonEmpty, Quantity, StoreUrl


class Hub(ApiModel):
    """A hub of models and data sets, such as huggingface.co."""

    endpoint: HttpUrl | None = None
    revision: NonEmpty | None = None
    token_secret_ref: TokenSecretRef | None = None


class ObjectStore(ApiModel):
    """A folder in an object store."""

    url: StoreUrl
    endpoint: HttpUrl | None = None
    region: NonEmpty | None = None
    credentials_secret_ref: NameRef | None = None
    """A whole Secret of environment names."""


class Image(ApiModel):
    """A model in an OCI image, mounted as a volume."""

    reference: NonEmpty


class Source(ApiModel):
    """Where data come from."""

    rules = (exactly_one_of("hub", "claim", "objectStore", "configMap"),)

    hub: Hub | None = None
    claim: ClaimRef | None = None
    object_store: ObjectStore | None = None
    config_map: NameRef | None = None


class ModelSource(Source):
    """Where a model comes from."""

    rules = (exactly_one_of("hub", "claim", "objectStore", "configMap", "image"),)

    image: Image | None = None


class ClaimTemplate(ApiModel):
    """A persistent volume claim to be made."""

    size: Quantity
    storage_class_name: NonEmpty | None = None
    access_modes: tuple[NonEmpty, ...] = Field(default=("ReadWriteOnce",), min_length=1)


class Cache(ApiModel):
    """Where a server keeps the models that it has fetched."""

    rules = (exactly_one_of("claim", "claimTemplate"),)

    claim: ClaimRef | None = None
    claim_template: ClaimTemplate | None = None


class Store(ApiModel):
    """Where results go."""

    rules = (exactly_one_of("claim", "claimTemplate", "objectStore"),)

    claim: ClaimRef | None = None
    claim_template: ClaimTemplate | None = None
    object_store: ObjectStore | None = None
