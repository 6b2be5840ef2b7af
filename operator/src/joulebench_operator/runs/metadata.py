"""Labels and annotations that users give to what the operator makes: those of other tools are not passed on."""

from collections.abc import Mapping
from typing import Final

_OURS: Final = "joulebench.dev/"
_OF_OTHERS: Final = (
    "kubectl.kubernetes.io/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "config.kubernetes.io/",
)


def passed_on(entries: Mapping[str, str] | None) -> dict[str, str]:
    """The labels or annotations that may be laid under ours."""
    return {key: value for key, value in (entries or {}).items() if not key.startswith((_OURS, *_OF_OTHERS))}
