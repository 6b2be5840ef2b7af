"""The volumes of a run's pods, and where each container sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from joulebench_api.contracts.assignment import (
    ASSIGNMENT_FOLDER,
    DATA_FOLDER,
    RESULTS_FOLDER,
    SOCKETS_FOLDER,
    TOKEN_FOLDER,
    TOPOLOGY_FOLDER,
)
from joulebench_operator.objects import Object
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.resolution import ResolvedRun
from joulebench_operator.runs.storage import Storage
from joulebench_operator.servers.model_files import sub_path

METER: Final = "meter"
DRIVER: Final = "driver"
FETCH: Final = "fetch"
PREFLIGHT: Final = "preflight"
FINALISE: Final = "finalise"

CA_FOLDER: Final = "/etc/joulebench/ca"
CA_FILE: Final = "ca.crt"
_TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True)
class Mounted:
    """A volume, and which containers see it where."""

    name: str
    source: Object
    folder: str
    readers: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()
    sub_path: str | None = None

    def mount(self, container: str) -> Object | None:
        """The mount of a container; None if it does not see the volume."""
        if container not in self.readers | self.writers:
            return None
        mount: Object = {"name": self.name, "mountPath": self.folder}
        if container in self.readers:
            mount["readOnly"] = True
        return mount if self.sub_path is None else {**mount, "subPath": self.sub_path}


def volumes(
    run: ResolvedRun, names: Names, storage: Storage, *, containers: tuple[str, ...], topology: bool, token: str | None
) -> list[Mounted]:
    """The volumes of a pod of these containers. `token`: the exporters' audience, if they are asked."""
    everybody = frozenset(containers)
    writers = everybody & {METER, DRIVER, PREFLIGHT, FINALISE}
    found = [
        Mounted("assignment", {"configMap": {"name": names.assignment}}, ASSIGNMENT_FOLDER, readers=everybody),
        Mounted("results", _results(storage), RESULTS_FOLDER, writers=writers),
        _data(run, everybody),
        *_of_meter(names, topology=topology, token=token),
        Mounted("sockets", {"emptyDir": {"medium": "Memory"}}, SOCKETS_FOLDER, writers=everybody & {METER, DRIVER}),
        *_ca(run, everybody),
        *(Mounted(f"{one}-files", {"emptyDir": {}}, "/tmp", writers=frozenset({one})) for one in containers),  # noqa: S108
    ]
    return [one for one in found if everybody & (one.readers | one.writers)]


def _results(storage: Storage) -> Object:
    return {"emptyDir": {}} if storage.claim is None else {"persistentVolumeClaim": {"claimName": storage.claim}}


def _data(run: ResolvedRun, containers: frozenset[str]) -> Mounted:
    """The questions: on a volume, or an empty folder that `fetch` fills."""
    source = run.spec.task.source
    seen_by = containers & {DRIVER, FETCH, PREFLIGHT}
    if source is not None and source.claim is not None:
        claim = {"persistentVolumeClaim": {"claimName": source.claim.name, "readOnly": True}}
        below = sub_path(source.claim.path, field="spec.task.source.claim.path")
        return Mounted("data", claim, DATA_FOLDER, readers=seen_by, sub_path=below)
    if source is not None and source.config_map is not None:
        # A ConfigMap has no folders, and tasks look for their questions in one of their own name.
        folder = f"{DATA_FOLDER}/{run.spec.task.name}"
        return Mounted("data", {"configMap": {"name": source.config_map.name}}, folder, readers=seen_by)
    return Mounted("data", {"emptyDir": {}}, DATA_FOLDER, readers=seen_by & {DRIVER}, writers=seen_by - {DRIVER})


def _of_meter(names: Names, *, topology: bool, token: str | None) -> Iterator[Mounted]:
    meter = frozenset({METER})
    if topology:
        yield Mounted("topology", {"configMap": {"name": names.topology}}, TOPOLOGY_FOLDER, readers=meter)
    if token is not None:
        projected = {"audience": token, "expirationSeconds": _TOKEN_SECONDS, "path": "token"}
        source = {"projected": {"sources": [{"serviceAccountToken": projected}]}}
        yield Mounted("exporter-token", source, TOKEN_FOLDER, readers=meter)


def _ca(run: ResolvedRun, containers: frozenset[str]) -> Iterator[Mounted]:
    reference = run.spec.runner.ca_bundle_config_map_ref
    if reference is not None:
        items = [{"key": reference.key, "path": CA_FILE}]
        yield Mounted("ca", {"configMap": {"name": reference.name, "items": items}}, CA_FOLDER, readers=containers)
