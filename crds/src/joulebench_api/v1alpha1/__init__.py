"""`joulebench.dev/v1alpha1`: the objects that users write. Each module holds one concept."""

from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun, BenchmarkRunSpec
from joulebench_api.v1alpha1.model_server import API_VERSION, ModelServer, ModelServerSpec
from joulebench_api.v1alpha1.server_source import External, ServerSource

__all__ = [
    "API_VERSION",
    "BenchmarkRun",
    "BenchmarkRunSpec",
    "External",
    "ModelServer",
    "ModelServerSpec",
    "ServerSource",
]
