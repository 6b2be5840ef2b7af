"""What the processes of a run are told when they start: one JSON file each, made from the plan.

The same files are used on a laptop and in a pod; nothing else tells a process what to do. Keys and tokens are never in
them: `key_variable` and `headers_variable` name environment variables of the meter's process.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from joulebench_api.contracts.energy import Domain, Method
from joulebench_api.contracts.summary import Prices
from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.names import segments_folder


class Settings(BaseModel):
    """Base of all settings files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a settings file. Raises OSError and pydantic's ValidationError."""
        return cls.model_validate_json(path.read_bytes())

    @classmethod
    def read_given(cls, path: Path) -> Self:
        """Read the file of `--settings`. Raises BadInputError that names the file and the first field that is wrong."""
        try:
            return cls.read(path)
        except OSError as error:
            message = f"cannot read the settings {path}: {error.strerror or error}"
            raise BadInputError(message, remedy="Name a file of settings with --settings.") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise BadInputError(
                f"{path}: {field}: {first['msg']}",
                remedy=f"Write it as {cls.__name__} of this version has it (joulebench_runner/config.py).",
            ) from error

    def write(self, path: Path) -> None:
        """Write a settings file, readable by this user alone; whoever reads it sees the old one or the new one."""
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(self.model_dump_json(indent=2) + "\n")
        draft.replace(path)


class Upstream(Settings):
    """One model server, by the alias under which the driver reaches it."""

    alias: str
    role: Literal["model", "judge", "submodel"]
    model: str
    """The name that the server knows the model by; sent in every request that names none of the served models."""
    base_urls: list[str] = Field(default_factory=list)
    """Addresses of the server's replicas, each with its `/v1`. One request goes to one of them. None: `topology_file`
    says where they are."""
    routing: Literal["LeastInFlight", "RoundRobin", "Service"] = "LeastInFlight"
    """Which replica gets a call: the one with the fewest of ours, or the next in turn. Service: the topology's `url` is
    asked, and which replica answers is not known."""
    key_variable: str | None = None
    headers_variable: str | None = None
    """Names an environment variable with headers for every call, one `Name: value` a line."""
    health_path: str | None = None
    """Path (outside `/v1`) that answers 200 once the server lives; null where none is known."""
    metrics_path: str | None = None
    """Path of the server's Prometheus metrics; null where there are none."""
    ready_timeout_seconds: float = 1800.0
    max_retries: int = 5
    """Of calls that met 429, 502-504 or a reset before the first byte."""
    measured: bool = True
    """Whether the devices of `EnergySettings` serve this alias (a remote server's energy is not ours to see)."""


class EnergySettings(Settings):
    """What is measured, and how it is split."""

    policy: Literal["Required", "Preferred", "Disabled"] = "Preferred"
    exporters: list[str] = Field(default_factory=list)
    """gRPC targets, such as `unix:/run/joulebench/exporter.sock`. Those of `topology_file` come in addition."""
    token_file: Path | None = None
    """A service-account token for the exporters' audience. It is read anew for each connection: tokens are rotated."""
    ca_file: Path | None = None
    """PEM file of who signed the exporters' certificates; null: the connections are not encrypted."""
    tls_server_name: str | None = None
    """The name in the exporters' certificate, where it is not the address that they are reached by."""
    domains: list[Domain] = Field(default_factory=lambda: [Domain.CPU, Domain.DRAM])
    method: Method = Method.PHASE
    min_coverage_percent: int = 99
    problem: str | None = None
    """Why nothing can be measured, if that is known beforehand (such as a server on another machine)."""


class StoreSettings(Settings):
    """Where a run is copied to while it goes on. Credentials come from the environment alone."""

    url: str
    """The run's own folder in the store, such as `s3://bucket/benchmarks/NAME`."""
    endpoint: str | None = None
    """Address of a server that is not the cloud's own, such as `https://minio.example:9000`."""
    region: str | None = None


class Shard(Settings):
    """One of the pods that share a run's questions."""

    index: int
    """From 0."""
    count: int


class MeterSettings(Settings):
    """Settings of the meter's process."""

    run_id: str
    run_name: str
    run_dir: Path
    """The results folder; `journal/` lies in it."""
    shard: Shard | None = None
    """Null: the meter is the run's only one. Else it journals into `journal/shard-INDEX/` and makes no results."""
    control_socket: Path
    """Unix socket for the driver and for who supervises."""
    proxy_host: str = "127.0.0.1"
    proxy_port: int = 0
    """0: any free port; the ready file says which."""
    status_host: str = "127.0.0.1"
    status_port: int = 0
    ready_file: Path
    """Written (JSON: proxy_url, status_url) once the meter listens."""
    upstreams: list[Upstream]
    energy: EnergySettings
    finalise_on: Literal["driver-done", "request"] = "driver-done"
    """Who says that nothing more comes: the driver (pods) or the supervisor (locally; it stops the server first)."""
    driver_start_seconds: float = 120.0
    """How long a driver may take to come, where it is the one who says that."""
    driver_gone_seconds: float = 10.0
    """How long the meter goes on without a driver that was there and died."""
    driver_stop_seconds: float = 15.0
    """How long a driver may take to end after SIGTERM; it ends first. Less than the pod's grace period."""
    topology_file: Path | None = None
    """`topology.json` (contracts.topology) in a mounted ConfigMap: where servers and exporters are. It may change."""
    scrape_interval_seconds: float = 1.0
    store: StoreSettings | None = None
    """Null: the results lie in `run_dir` alone."""
    bring_back: bool = False
    """Whether the run is brought back from `store` before the start, for a pod whose folder is new. (A local run has
    done so before the meter starts.)"""
    termination_file: Path | None = None
    """Where the end of the run is told in less than 4 KiB (contracts.termination); in a pod `/dev/termination-log`."""
    outcome_file: Path | None = None
    """Where a meter that fails writes its last words (contracts.meter.DriverDone as JSON); not on the results' disk,
    which may be full."""
    engine: str | None = None
    model_files: dict[str, Path] = Field(default_factory=dict)
    """Model files on this machine, by alias. They are hashed at the end: it takes seconds for large ones."""
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    """What whoever planned the run knows about it: spec, server's command line, versions, machine."""
    pricing: Prices = Field(default_factory=Prices)

    @property
    def journal_folder(self) -> Path:
        """Where this meter's segments lie."""
        return segments_folder(self.run_dir, None if self.shard is None else self.shard.index)


class GenerationSettings(Settings):
    """Generation options of the run; null = the task's own."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    top_logprobs: int | None = None
    system_prompt: str | None = None
    chat_template_params: dict[str, JsonValue] | None = None
    extra_body: dict[str, JsonValue] | None = None


class TaskSettings(Settings):
    """Which questions are asked, and where they come from."""

    name: str
    """Registry key, or `inspect:package/task`."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    limit: int | None = None
    record_ids: list[str] | None = None
    subset: str | None = None
    split: str | None = None
    few_shot: int | None = None
    data_root: Path | None = None
    """Folder with one folder a task; looked into before the hub."""
    offline: bool = False
    """Never ask the hub: what `data_root` lacks is an error (`task.source.claim`)."""
    hub_revision: str | None = None
    hub_token_variable: str | None = None
    hub_endpoint: str | None = None


class DriverSettings(Settings):
    """Settings of the driver's process."""

    run_id: str
    run_dir: Path
    control_socket: Path
    ready_file: Path
    """The meter's; tells the proxy's address."""
    meter_start_seconds: float = 60.0
    """How long the meter may take to write it; one that first brings a long run back from its store takes longer."""
    meter_outcome_file: Path | None = None
    """The meter's own `outcome_file`: a meter that fails before it is ready is not waited for."""
    task: TaskSettings
    shard: Shard | None = None
    """Null: all questions are asked. Else every COUNT-th record from the INDEX-th on; `concurrency` and a count in
    `max_errors` are then the shard's own part."""
    generation: GenerationSettings = Field(default_factory=GenerationSettings)
    generation_of_others: dict[str, GenerationSettings] = Field(default_factory=dict)
    """Of each call to the judge or a submodel, by its alias; null = as the caller asks."""
    seed: int = 42
    epochs: int = 1
    concurrency: int = 1
    warmup_queries: int = 3
    max_errors: int | float | None = None
    """int: a count of questions; float: a part of all (0..1); null: errors are counted, nothing more."""
    query_timeout_seconds: float | None = None
    baseline_seconds: float = 30.0
    artifacts: Literal["All", "Failed", "None"] = "All"
    outcome_file: Path | None = None
    """Where the driver writes its last words (contracts.meter.DriverDone as JSON) for whoever started it."""
