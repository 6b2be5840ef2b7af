"""From a benchmark file to the plan of a local run. Everything that can be wrong is found here, before a start."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from joulebench_api.defaults import resolve
from joulebench_api.errors import ApiError
from joulebench_api.loading import Loaded, load
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_runner.config import MeterSettings, StoreSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.addresses import check_free
from joulebench_runner.local.attempts import Attempt
from joulebench_runner.local.availability import notes, refuse_unavailable
from joulebench_runner.local.folder import DRIVER_SETTINGS, METER_SETTINGS, SETTINGS
from joulebench_runner.local.plan import Command, LocalOptions, LocalPlan
from joulebench_runner.local.provenance import describe_run, start_now, ulid
from joulebench_runner.local.run_file import RunFile
from joulebench_runner.local.sameness import refuse_changes, sameness
from joulebench_runner.local.serving import Serving, servings
from joulebench_runner.local.settings import driver_settings, energy_settings
from joulebench_runner.store.opening import store_settings
from joulebench_runner.tasks.registry import find as find_task


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
    served = servings(loaded, spec)
    meter = _meter_settings(
        run.metadata.name, spec, served, run_dir=run_dir, sockets=socket_dir, port=options.meter_port
    ).model_copy(update={"run_id": run_file.run_id, "store": _store(spec, run.metadata.name, below=stored_below)})
    settings = run_dir / SETTINGS
    provenance = describe_run(loaded.run, served, options=options, starts=run_file.starts)
    return LocalPlan(
        run_dir=run_dir,
        run_file=run_file,
        meter_settings=meter.model_copy(update={"provenance": provenance}),
        driver_settings=driver_settings(spec, meter, data=options.data),
        exporter=_exporter(options, target=meter.energy.exporters[0]) if meter.energy.exporters else None,
        server=served[0].command,
        meter=_module("meter", settings / METER_SETTINGS),
        driver=_module("driver", settings / DRIVER_SETTINGS),
        run_seconds=spec.timeouts.run.seconds,
        notes=tuple(notes(loaded.run.spec)),
    )


def _meter_settings(
    name: str, spec: BenchmarkRunSpec, served: Sequence[Serving], *, run_dir: Path, sockets: Path, port: int
) -> MeterSettings:
    return MeterSettings(
        run_id="",
        run_name=name,
        run_dir=run_dir,
        control_socket=sockets / "control.sock",
        proxy_port=port,
        ready_file=sockets / "meter.json",
        outcome_file=sockets / "meter-outcome.json",
        upstreams=[serving.upstream for serving in served],
        energy=energy_settings(spec, served[0], exporter=f"unix:{sockets / 'exporter.sock'}"),
        # The server is stopped before the results are written, so that its shutdown is in them.
        finalise_on="request",
        engine=served[0].engine,
        model_files={one.upstream.alias: one.model_file for one in served if one.model_file is not None},
    )


def _store(spec: BenchmarkRunSpec, name: str, *, below: Path) -> StoreSettings | None:
    """Where the run is copied to; claims are a cluster's."""
    store = spec.results.store
    if store is None or store.object_store is None:
        return None
    return store_settings(store.object_store, run_name=(Path(name) / below).as_posix(), environ=os.environ)


def _module(name: str, settings: Path) -> Command:
    argv = (sys.executable, "-m", f"joulebench_runner.{name}", "--settings", str(settings), "--exit-with-stdin")
    return Command(name, argv)


def _exporter(options: LocalOptions, *, target: str) -> Command:
    flags = {
        "--sensor": options.sensor,
        "--rapl-root": options.rapl_root,
        "--idle-watts": options.idle_watts,
        "--watts-per-core": options.watts_per_core,
    }
    given = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    argv = (sys.executable, "-m", "joulebench_exporter", "--listen", target, *given, "--exit-with-stdin")
    return Command("exporter", argv)
