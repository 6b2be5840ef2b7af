"""`assignment.json`: what the operator hands to the pods of a run, in a ConfigMap that they mount.

It carries the run itself with all defaults filled in, and what only the operator knows. What the processes make of it
is the runner's to say, so that operator and runner may be of different releases.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import Prices
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun

ASSIGNMENT_FOLDER: Final = "/etc/joulebench/assignment"
"""Where the ConfigMap with `assignment.json` is mounted, in all containers."""
ASSIGNMENT_FILE: Final = "assignment.json"
TOPOLOGY_FOLDER: Final = "/etc/joulebench/topology"
"""Where the ConfigMap with `topology.json` is mounted, in the meter (a folder, so that it is brought up to date)."""
TOPOLOGY_FILE: Final = "topology.json"
SOCKETS_FOLDER: Final = "/run/joulebench"
"""Shared by driver and meter; in memory."""
RESULTS_FOLDER: Final = "/results"
"""The claim or the empty folder that the results are written to."""
DATA_FOLDER: Final = "/data"
"""The questions: filled by `fetch`, read by `driver`."""
TOKEN_FOLDER: Final = "/var/run/secrets/joulebench/exporter"  # noqa: S105 - a path
"""In the meter: the token for the exporters' audience, in the file `token`."""
EXPORTER_CA_FOLDER: Final = "/etc/joulebench/exporter-ca"
"""In the meter: who signed the exporters' certificates, in the file EXPORTER_CA_FILE."""
EXPORTER_CA_FILE: Final = "ca.crt"
TERMINATION_FILE: Final = "/dev/termination-log"

SHARD_VARIABLE: Final = "JOB_COMPLETION_INDEX"
"""Kubernetes' own, in all containers of an Indexed Job: which of `spec.shards` pods this is, from 0."""
HUB_TOKEN_VARIABLE: Final = "HF_TOKEN"  # noqa: S105 - a variable's name
"""In the containers that ask the hub (`fetch`, `preflight`), if the task's source names a token."""


class Part(BaseModel):
    """Base of all parts. Readers ignore fields they do not know (a newer operator may add some)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class AssignedServer(Part):
    """One model that the run asks, by its alias."""

    alias: str
    """`model`, `judge`, or a submodel's name."""
    role: Literal["model", "judge", "submodel"]
    model: str
    """The name to ask it by."""
    url: str | None = None
    """With its `/v1`, for servers that others run; None: the topology says where the pods are."""
    routing: Literal["LeastInFlight", "RoundRobin", "Service"] = "LeastInFlight"
    health_path: str | None = None
    metrics_path: str | None = None
    key_variable: str | None = None
    """Environment variable of `meter` (and `preflight`) that holds its API key; None: it asks for none."""
    headers_variable: str | None = None
    """Environment variable of the same containers with headers for every call to it, one `Name: value` a line."""
    engine: str | None = None
    """None for servers that others run."""
    measured: bool = True
    """Whether the devices behind it can be known."""


class Assignment(Part):
    """The whole file."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    """Unique to the run and its `rerunToken`: whoever finds the journal of another refuses to go on with it."""
    attempt: int
    """1, and one more for each new `rerunToken`."""
    run: BenchmarkRun
    """With defaults filled in."""
    servers: list[AssignedServer]
    domains: list[Domain]
    """What is measured."""
    folder: str
    """The attempt's own folder, below `RESULTS_FOLDER` and below the store's address."""
    store_url: str | None = None
    """The attempt's own folder in the object store; None: the results stay on the claim."""
    topology: bool = True
    """Whether TOPOLOGY_FOLDER is mounted."""
    exporter_token: bool = False
    """Whether TOKEN_FOLDER is mounted."""
    exporter_ca: bool = False
    """Whether EXPORTER_CA_FOLDER is mounted; without it the connections to the exporters are not encrypted."""
    exporter_server_name: str | None = None
    """The name in the exporters' certificate, where it is not the address that they are reached by."""
    data_mounted: bool = False
    """Whether DATA_FOLDER holds the questions already: the hub is never asked. It has one folder a task, as
    `joulebench fetch --to` makes it; a ConfigMap, which has no folders, is mounted at DATA_FOLDER/TASK."""
    ready_timeout_seconds: float = 3600.0
    """How long the meter waits for its servers."""
    prices: Prices | None = None
    """The fleet's prices: of accelerators by product, unless the run itself says one, and of the tokens of servers that
    say none."""
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    """What the operator knows: images and their digests, the servers' command lines, its configuration's hash."""


def key_variable(alias: str) -> str:
    """The variable that holds the key of the server of that alias: `JOULEBENCH_KEY_JUDGE`."""
    return f"JOULEBENCH_KEY_{alias.upper().replace('-', '_')}"


def headers_variable(alias: str) -> str:
    """The variable that holds the headers for calls to the server of that alias: `JOULEBENCH_HEADERS_JUDGE`."""
    return f"JOULEBENCH_HEADERS_{alias.upper().replace('-', '_')}"
