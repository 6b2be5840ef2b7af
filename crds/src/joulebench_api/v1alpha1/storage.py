"""Where models, data and results lie."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
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


class AccessMode(StrEnum):
    """How many pods or nodes may use a claim at once."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_ONLY_MANY = "ReadOnlyMany"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class ClaimTemplate(ApiModel):
    """A persistent volume claim to be made."""

    size: Quantity
    storage_class_name: NonEmpty | None = None
    access_modes: Annotated[tuple[AccessMode, ...], ListSet(), Field(min_length=1, max_length=4)] = (
        AccessMode.READ_WRITE_ONCE,
    )


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
