"""From what the kubelet says was given to containers to who has which device.

Forms of device identifiers, as the device plugins and DRA drivers write them:

    GPU-<uuid>, MIG-<uuid>          whole board, instance
    <either>::N                     the N-th copy of it under time-slicing or MPS
    MIG-GPU-<uuid>/<gi>/<ci>        instances by drivers before 470
    N, nvidiaN, nvidiaN/gi1         by number: index, and device node (`/vgpuN` may follow)
    gpu-N, gpu-N-mig-...            DRA device names of driver gpu.nvidia.com, N being the device node's number
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from joulebench_exporter.devices import DeviceInfo, Owner, Owners

_NODE = re.compile(r"nvidia(\d+)(?:/.*)?")
_DRA_NAME = re.compile(r"gpu-(\d+)(?:-mig-.*)?")
_UUID = re.compile(r"(?:GPU|MIG)-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VENDOR = "nvidia.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One device, by the name that its plugin or driver uses, and the container that has it."""

    namespace: str
    pod: str
    container: str
    resource: str
    """Of a device plugin, such as nvidia.com/gpu; or the DRA driver's name."""
    names: tuple[str, ...]
    """Any of them may be one that we know."""
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Owners by device UUID, and names of NVIDIA devices that fit none of ours."""

    owners: Mapping[str, tuple[Owner, ...]]
    unknown: Sequence[str]


def resolve(devices: Iterable[DeviceInfo], given: Iterable[Given]) -> Ownership:
    """Say who has what."""
    directory = _Directory(devices)
    owners: dict[str, set[Owner]] = {}
    unknown = []
    for one in given:
        found = next((place for name in one.names if (place := directory.find(name, one.resource)) is not None), None)
        if found is not None:
            device, partition = found
            owner = Owner(
                namespace=one.namespace, pod=one.pod, container=one.container, partition=partition, claim=one.claim
            )
            owners.setdefault(device, set()).add(owner)
        elif _VENDOR in one.resource:
            unknown.append(f"{one.resource} {', '.join(one.names)} of {one.namespace}/{one.pod}")
    return Ownership(owners={uuid: tuple(sorted(found)) for uuid, found in owners.items()}, unknown=unknown)


class OwnerBook:
    """Who has which device, as far as is known now, and since when by this clock."""

    def __init__(self, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._owners: Mapping[str, Owners] = {}
        self._problem = ""
        self.version = 0
        """Raised with every change."""
        self.late = ""
        """Why a change is seen only when the kubelet is asked anyway; empty: it is seen at once."""

    @property
    def problem(self) -> str:
        """Why the book is not up to date; empty: it is."""
        return self._problem

    def of(self, uuid: str) -> Owners:
        """Owners of one device."""
        return self._owners.get(uuid) or Owners(problem=self._problem)

    def write(self, owners: Mapping[str, Owners]) -> None:
        """The kubelet has told."""
        self._problem = ""
        self._replace(owners)

    def fail(self, problem: str) -> None:
        """The kubelet did not tell. What was known stays, marked: containers live on while the kubelet is away."""
        self._problem = problem
        self._replace(
            {
                uuid: Owners(containers=owners.containers, known=owners.known, problem=problem)
                for uuid, owners in self._owners.items()
            }
        )

    def _replace(self, owners: Mapping[str, Owners]) -> None:
        if owners == self._owners:
            return
        before, now_ns = self._owners, self._monotonic_ns()
        self._owners = {
            uuid: before[uuid] if before.get(uuid) == told else replace(told, since_ns=now_ns)
            for uuid, told in owners.items()
        }
        self.version += 1


class _Directory:
    """Finds devices by any of their names; the answer is (device UUID, partition UUID or empty)."""

    def __init__(self, devices: Iterable[DeviceInfo]) -> None:
        self._by_uuid: dict[str, tuple[str, str]] = {}
        self._by_index: dict[int, str] = {}
        self._by_minor: dict[int, str] = {}
        for device in devices:
            self._by_uuid[device.uuid] = (device.uuid, "")
            self._by_uuid |= {part.uuid: (device.uuid, part.uuid) for part in device.partitions}
            if device.index is not None:
                self._by_index[device.index] = device.uuid
            if device.minor is not None:
                self._by_minor[device.minor] = device.uuid

    def find(self, name: str, resource: str) -> tuple[str, str] | None:
        plain = name.partition("::")[0]
        if plain in self._by_uuid:
            return self._by_uuid[plain]
        within = next((self._by_uuid[uuid] for uuid in _UUID.findall(plain) if uuid in self._by_uuid), None)
        if within is not None:
            # An instance by the old form, or a CDI name; the part's own UUID is not in it.
            return within[0], plain if plain.startswith("MIG-GPU-") else within[1]
        number = self._numbered(plain) if _VENDOR in resource else None
        return None if number is None else (number, _part_of(plain))

    def _numbered(self, name: str) -> str | None:
        if name.isdecimal():
            return self._by_index.get(int(name))
        by_node = _NODE.fullmatch(name) or _DRA_NAME.fullmatch(name)
        return None if by_node is None else self._by_minor.get(int(by_node[1]))


def _part_of(name: str) -> str:
    """What a numbered name says of a part of the device; empty where it is the whole."""
    return name if "/" in name or "-mig-" in name else ""


def cdi_names(names: Iterable[str]) -> Iterator[str]:
    """The device's part of fully qualified CDI names (vendor/class=device)."""
    for name in names:
        yield name.partition("=")[2] or name
