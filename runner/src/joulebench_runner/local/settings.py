"""What of the settings is a local run's own: this machine is measured, and a folder plays the part of a claim."""

from collections.abc import Sequence
from pathlib import Path

from joulebench_api.contracts.energy import Domain
from joulebench_api.secrets import environment_name
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_api.v1alpha1.task import Task
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings, TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.serving import Serving
from joulebench_runner.translation import settings as shared

CPU_SERVER_DOMAINS = (Domain.CPU, Domain.DRAM)
SIMULATED_DOMAINS = (Domain.GPU,)


def energy_settings(
    spec: BenchmarkRunSpec, model: Serving, *, exporter: str, domains: Sequence[Domain]
) -> EnergySettings:
    """What is measured: this machine, if the model runs on it. `domains`: unless the spec says others."""
    wanted = [Domain(domain) for domain in spec.energy.domains or domains]
    return shared.energy_settings(spec, problem=model.energy_problem, exporters=[exporter], domains=wanted)


def driver_settings(spec: BenchmarkRunSpec, meter: MeterSettings, *, data: Path | None) -> DriverSettings:
    """What is asked, and how."""
    return shared.driver_settings(
        spec,
        run_id=meter.run_id,
        run_dir=meter.run_dir,
        control_socket=meter.control_socket,
        ready_file=meter.ready_file,
        task=task_settings(spec, data=data),
    )


def task_settings(spec: BenchmarkRunSpec, *, data: Path | None) -> TaskSettings:
    """Which questions are asked. Raises BadInputError for a source that there is not on this machine."""
    source = spec.task.source
    _check_source(spec.task, data=data)
    token = source.hub.token_secret_ref if source is not None and source.hub is not None else None
    return shared.task_settings(
        spec,
        data_root=None if data is None else data.absolute(),
        offline=source is not None and source.claim is not None,
        token_variable=None if token is None else environment_name(token),
    )


def _check_source(task: Task, *, data: Path | None) -> None:
    """On this machine a folder (`--data`) plays the part of a claim; the other stores are a cluster's."""
    source = task.source
    if source is None or source.hub is not None:
        return
    if source.claim is None:
        kind = "objectStore" if source.object_store is not None else "configMap"
        raise BadInputError(
            f"spec.task.source.{kind}: not available on a local run",
            remedy="copy the data, and name them by --data DIR",
        )
    if data is None:
        raise BadInputError(
            "spec.task.source.claim: there are no claims on a local run",
            remedy=f"name the folder by --data DIR; joulebench fetch {task.name} --to DIR fills one",
        )
