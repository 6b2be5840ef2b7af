"""The kinds of objects that the operator reads and writes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object, as the API server names it."""

    group: str
    version: str
    name: str
    plural: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str | None = None) -> str:
        """Path of the list of a namespace, or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        listed = f"{root}/namespaces/{namespace}/{self.plural}"
        return listed if name is None else f"{listed}/{name}"


MODEL_SERVER: Final = Kind("joulebench.dev", "v1alpha1", "ModelServer", "modelservers")
BENCHMARK_RUN: Final = Kind("joulebench.dev", "v1alpha1", "BenchmarkRun", "benchmarkruns")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
POD: Final = Kind("", "v1", "Pod", "pods")
SERVICE: Final = Kind("", "v1", "Service", "services")
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT: Final = Kind("events.k8s.io", "v1", "Event", "events")
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases")

OWN: Final = (MODEL_SERVER, BENCHMARK_RUN)
"""Our own kinds."""

MADE: Final = (DEPLOYMENT, JOB, SERVICE, CONFIG_MAP, CLAIM)
"""Kinds that the operator makes; it watches only those that bear its label."""

WATCHED: Final = (*OWN, *MADE, POD)
"""Everything that is kept in the cache."""

BY_NAME: Final = {kind.name: kind for kind in WATCHED}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object by its kind's name, namespace and name: what the work queue holds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"
