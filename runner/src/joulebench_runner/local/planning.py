"""From a benchmark file to the plan of a local run. Everything that can be wrong is found here, before a start."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from joulebench_api.defaults import resolve
from joulebench_api.engines.arguments import render
from joulebench_api.errors import ApiError
from joulebench_api.loading import Loaded, load
from joulebench_api.v1alpha1 import BenchmarkRun, BenchmarkRunSpec
from joulebench_runner.config import MeterSettings, StoreSettings, Upstream
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.addresses import check_free
from joulebench_runner.local.attempts import Attempt
from joulebench_runner.local.availability import notes, refuse_unavailable
from joulebench_runner.local.folder import DRIVER_SETTINGS, METER_SETTINGS, SETTINGS
from joulebench_runner.local.plan import Command, LocalOptions, LocalPlan
from joulebench_runner.local.provenance import describe_run, start_now, ulid
from joulebench_runner.local.run_file import RunFile
from joulebench_runner.local.sameness import refuse_changes, sameness
from joulebench_runner.local.serving import Serving, Simulation, servings
from joulebench_runner.local.settings import (
    CPU_SERVER_DOMAINS,
    SIMULATED_DOMAINS,
    driver_settings,
    energy_settings,
)
from joulebench_runner.local.simulation import simulator_answers
from joulebench_runner.store.opening import store_settings
from joulebench_runner.tasks.registry import find as find_task
from joulebench_runner.translation.settings import pricing_settings

SIMULATED: Final = "simulated"
"""The sensor that reads a simulator's device files."""
ANSWERS: Final = "answers.jsonl"
_SIMULATED_PERIOD: Final = "5ms"
"""Reading memory is cheap, so a tick's time is known well."""


def load_file(path: Path, *, overrides: Sequence[str]) -> Loaded:
    """Read and check a benchmark file; all its problems are told at once."""
    try:
        return load(path.read_text(), source=str(path), overrides=overrides)
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", remedy="check the file's name") from error
    except ApiError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error


def identify(loaded: Loaded, *, attempt: Attempt, options: LocalOptions) -> RunFile:
    """Which run this is: a new one, or the one that lies there. Raises BadInputError if the file has changed since."""
    same = sameness(resolve(loaded.run), loaded, options=options)
    earlier = attempt.run or attempt.first
    if earlier is not None:
        refuse_changes(str(attempt.folder), earlier.same, same)
    if attempt.run is not None:
        return attempt.run.model_copy(update={"starts": [*attempt.run.starts, start_now()]})
    return RunFile(run_id=ulid(), rerun_token=loaded.run.spec.rerun_token, same=same, starts=[start_now()])


def plan_run(
    loaded: Loaded, *, run_file: RunFile, run_dir: Path, stored_below: Path, socket_dir: Path, options: LocalOptions
) -> LocalPlan:
    """Decide everything that a local run needs. Raises BadInputError; starts and writes nothing.

    `stored_below` is where `run_dir` lies in the folder that was named, and so in the store.
    """
    run = resolve(loaded.run)
    spec = run.spec
    refuse_unavailable(spec)
    check_free(options.meter_port, option="--meter-port")
    find_task(spec.task.name)
    answers = simulator_answers(loaded, spec, data=options.data)
    served = servings(
        loaded, spec, simulation=_simulation(run_dir, run_id=run_file.run_id, sockets=socket_dir, answers=answers)
    )
    sensor = _sensor(options, served[0])
    meter = _meter_settings(
        run,
        served,
        run_id=run_file.run_id,
        run_dir=run_dir,
        sockets=socket_dir,
        port=options.meter_port,
        sensor=sensor,
        store=_store(spec, run.metadata.name, below=stored_below),
    )
    settings = run_dir / SETTINGS
    provenance = describe_run(loaded.run, served, options=options, starts=run_file.starts)
    return LocalPlan(
        run_dir=run_dir,
        run_file=run_file,
        meter_settings=meter.model_copy(update={"provenance": provenance}),
        driver_settings=driver_settings(spec, meter, data=options.data),
        exporter=_exporter(options, sensor=sensor, served=served[0], meter=meter) if meter.energy.exporters else None,
        server=served[0].command,
        meter=_module("meter", settings / METER_SETTINGS),
        driver=_module("driver", settings / DRIVER_SETTINGS),
        run_seconds=spec.timeouts.run.seconds,
        files={socket_dir / ANSWERS: answers} if answers else {},
        notes=(*notes(loaded.run.spec), *_simulation_notes(served[0], run_dir=run_dir)),
    )


def _meter_settings(
    run: BenchmarkRun,
    served: Sequence[Serving],
    *,
    run_id: str,
    run_dir: Path,
    sockets: Path,
    port: int,
    sensor: str,
    store: StoreSettings | None,
) -> MeterSettings:
    domains = SIMULATED_DOMAINS if sensor == SIMULATED else CPU_SERVER_DOMAINS
    return MeterSettings(
        run_id=run_id,
        run_name=run.metadata.name,
        run_dir=run_dir,
        control_socket=sockets / "control.sock",
        proxy_port=port,
        ready_file=sockets / "meter.json",
        outcome_file=sockets / "meter-outcome.json",
        upstreams=[_upstream(serving, served[0], sensor=sensor) for serving in served],
        energy=energy_settings(run.spec, served[0], exporter=f"unix:{sockets / 'exporter.sock'}", domains=domains),
        # The server is stopped before the results are written, so that its shutdown is in them.
        finalise_on="request",
        engine=served[0].engine,
        store=store,
        pricing=pricing_settings(run.spec),
        model_files={one.upstream.alias: one.model_file for one in served if one.model_file is not None},
    )


def _upstream(serving: Serving, model: Serving, *, sensor: str) -> Upstream:
    """Simulated devices serve the simulator that has them, and nobody else on this machine."""
    is_seen = serving.device_files or not model.device_files or sensor != SIMULATED
    return serving.upstream if is_seen else serving.upstream.model_copy(update={"measured": False})


def _store(spec: BenchmarkRunSpec, name: str, *, below: Path) -> StoreSettings | None:
    """Where the run is copied to; claims are a cluster's."""
    store = spec.results.store
    if store is None or store.object_store is None:
        return None
    return store_settings(store.object_store, run_name=(Path(name) / below).as_posix(), environ=os.environ)


def _module(name: str, settings: Path) -> Command:
    argv = (sys.executable, "-m", f"joulebench_runner.{name}", "--settings", str(settings), "--exit-with-stdin")
    return Command(name, argv)


def _exporter(options: LocalOptions, *, sensor: str, served: Serving, meter: MeterSettings) -> Command:
    flags = {
        "sensor": sensor,
        "rapl-root": None if options.rapl_root is None else str(options.rapl_root),
        "idle-watts": options.idle_watts,
        "watts-per-core": options.watts_per_core,
        "device-file": [str(path) for path in served.device_files] if sensor == SIMULATED else None,
        "period": _SIMULATED_PERIOD if sensor == SIMULATED else None,
        **options.rhythm,
    }
    target = meter.energy.exporters[0]
    argv = (sys.executable, "-m", "joulebench_exporter", "--listen", target, *render(flags), "--exit-with-stdin")
    return Command("exporter", argv)


def _sensor(options: LocalOptions, served: Serving) -> str:
    """A simulator's own devices, unless another sensor is named."""
    return SIMULATED if served.device_files and options.sensor == "auto" else options.sensor


def truth_file(run_dir: Path) -> Path:
    """Where a simulator logs what each request truly cost: beside the run's folder."""
    return run_dir.with_name(f"{run_dir.name}.truth.jsonl")


def _simulation(run_dir: Path, *, run_id: str, sockets: Path, answers: bytes | None) -> Simulation:
    return Simulation(
        folder=sockets,
        device_id=run_id,
        log=truth_file(run_dir),
        answers=None if answers is None else sockets / ANSWERS,
    )


def _simulation_notes(served: Serving, *, run_dir: Path) -> list[str]:
    if not served.device_files:
        return []
    return [f"the model is simulated; what each request truly cost is logged in {truth_file(run_dir)}"]
