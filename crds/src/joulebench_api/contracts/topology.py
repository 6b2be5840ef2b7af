"""`topology.json`: who serves and who measures. The operator writes it into a ConfigMap that the runner mounts.

It may lag by a minute or more, so nothing urgent is in it: pods' addresses come from DNS, owners of devices from the
exporters' own streams.
"""

from pydantic import BaseModel, ConfigDict, Field

from joulebench_api.contracts import SCHEMA_VERSION


class Part(BaseModel):
    """Base of all parts. Readers ignore fields they do not know (a newer operator may add some)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ServerPod(Part):
    """One of a server's pods, as far as the operator knew when it wrote the file."""

    name: str
    ip: str | None = None
    node: str | None = None


class Server(Part):
    """One model, by the alias that the run knows it by."""

    alias: str
    """`model`, `judge`, or a submodel's name."""
    url: str
    """The Service's address, with its `/v1`."""
    model: str
    """The name to ask it by."""
    headless_service: str | None = None
    """Host name whose addresses are the server's pods; None for an external address."""
    port: int | None = None
    """Of the pods."""
    namespace: str | None = None
    pod_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the server's pods, for people: exporters tell owners by namespace and name alone."""
    deployment: str | None = None
    """The Deployment that makes its pods, in `namespace`: they are known by their names before `pods` lists them."""
    pods: list[ServerPod] = Field(default_factory=list)
    """Its pods in `namespace`. One that was ever listed counts as the server's for the whole run."""


class Exporter(Part):
    """One energy exporter."""

    node: str
    address: str
    """`host:port` of its gRPC service."""


class Topology(Part):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    generation: int = 0
    """Grows with every change; a reader takes the file with the highest."""
    servers: list[Server]
    exporters: list[Exporter] = Field(default_factory=list)
    audience: str | None = None
    """Audience of the token that exporters ask for; None where they ask for none."""
