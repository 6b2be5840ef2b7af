"""References to other objects, by name in the same namespace."""

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.texts import NonEmpty


class NameRef(ApiModel):
    """Another object of the same namespace."""

    name: NonEmpty


class SecretKeyRef(ApiModel):
    """One key of a Secret. Without a cluster it stands for an environment variable (see `joulebench_api.secrets`)."""

    name: NonEmpty
    key: NonEmpty


class TokenSecretRef(SecretKeyRef):
    """A token; its key is `token` unless another is named."""

    key: NonEmpty = "token"


class ApiKeySecretRef(SecretKeyRef):
    """The key of an API; its key in the Secret is `api-key` unless another is named."""

    key: NonEmpty = "api-key"


HEADERS_KEY = "headers"
"""Of the Secret that a `headersSecretRef` names: one `Name: value` in each line."""


class ConfigMapKeyRef(ApiModel):
    """One key of a ConfigMap."""

    name: NonEmpty
    key: NonEmpty


class ClaimRef(ApiModel):
    """A persistent volume claim that exists, and a folder in it."""

    name: NonEmpty
    path: NonEmpty | None = None
