"""Security contexts of pods, as Kubernetes' standard `restricted` asks for them.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from types import MappingProxyType
from typing import Final

from joulebench_operator.objects import Object

_SECCOMP: Final = {"seccompProfile": {"type": "RuntimeDefault"}}
_NO_MORE_RIGHTS: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

POD: Final = MappingProxyType({"runAsNonRoot": True, **_SECCOMP})
"""`securityContext` of pods whose images are ours."""
CONTAINER: Final = MappingProxyType({**_NO_MORE_RIGHTS, "readOnlyRootFilesystem": True})
"""`securityContext` of their containers."""


def pod(*, may_be_root: bool = False) -> Object:
    """`securityContext` of a pod; `may_be_root` for images of others, which may know no other user."""
    return dict(_SECCOMP) if may_be_root else dict(POD)


def container(*, writes_anywhere: bool = False) -> Object:
    """`securityContext` of a container; `writes_anywhere` for images of others, which may need that."""
    return dict(_NO_MORE_RIGHTS) if writes_anywhere else dict(CONTAINER)
