"""The Kubernetes operator: benchmark runs in; deployments, jobs and status out."""

__version__ = "0.1.0.dev0"
