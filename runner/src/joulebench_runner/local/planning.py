"""From a benchmark file to the plan of a local run. Everything that can be wrong is found here, before a start."""

import sys
from collections.abc import Sequence
from pathlib import Path

from joulebench_api.defaults import resolve
from joulebench_api.errors import ApiError
from joulebench_api.loading import Loaded, load
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.addresses import check_free
from joulebench_runner.local.availability import notes, refuse_unavailable
from joulebench_runner.local.folder import DRIVER_SETTINGS, METER_SETTINGS, SETTINGS
from joulebench_runner.local.plan import Command, LocalOptions, LocalPlan
from joulebench_runner.local.provenance import describe_run, ulid
from joulebench_runner.local.serving import Serving, servings
from joulebench_runner.local.settings import driver_settings, energy_settings, pricing_settings
from joulebench_runner.tasks.registry import find as find_task


def load_file(path: Path, *, overrides: Sequence[str]) -> Loaded:
    """Read and check a benchmark file; all its problems are told at once."""
    try:
        return load(path.read_text(), source=str(path), overrides=overrides)
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", remedy="check the file's name") from error
    except ApiError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error


def plan_run(loaded: Loaded, *, run_dir: Path, socket_dir: Path, options: LocalOptions) -> LocalPlan:
    """Decide everything that a local run needs. Raises BadInputError; starts and writes nothing."""
    run = resolve(loaded.run)
    spec = run.spec
    refuse_unavailable(spec)
    check_free(options.meter_port, option="--meter-port")
    find_task(spec.task.name)
    served = servings(loaded, spec)
    meter = _meter_settings(
        run.metadata.name, spec, served, run_dir=run_dir, sockets=socket_dir, port=options.meter_port
    )
    settings = run_dir / SETTINGS
    return LocalPlan(
        run_dir=run_dir,
        meter_settings=meter.model_copy(update={"provenance": describe_run(loaded.run, served, options=options)}),
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
        run_id=ulid(),
        run_name=name,
        run_dir=run_dir,
        control_socket=sockets / "control.sock",
        proxy_port=port,
        ready_file=sockets / "meter.json",
        upstreams=[serving.upstream for serving in served],
        energy=energy_settings(spec, served[0], exporter=f"unix:{sockets / 'exporter.sock'}"),
        # The server is stopped before the results are written, so that its shutdown is in them.
        finalise_on="request",
        engine=served[0].engine,
        pricing=pricing_settings(spec),
        model_files={one.upstream.alias: one.model_file for one in served if one.model_file is not None},
    )


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
