"""The meter's view of an energy exporter, and the binding to the real one."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from joulebench_api.contracts.energy import Domain
from joulebench_runner.errors import EnergyError


class Device(Protocol):
    """What an exporter says about one energy counter."""

    @property
    def uuid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> Domain: ...
    @property
    def scope(self) -> str: ...
    @property
    def sensor(self) -> str: ...
    @property
    def sensor_kind(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def tick_period_seconds(self) -> float | None: ...
    @property
    def counter_origin_uj(self) -> int | None: ...
    @property
    def counter_wraps_uj(self) -> int | None: ...


class Description(Protocol):
    """What an exporter measures. Sequence numbers belong to the instance."""

    @property
    def instance_id(self) -> str: ...
    @property
    def boot_id(self) -> str: ...
    @property
    def devices(self) -> Sequence[Device]: ...


class Ping(Protocol):
    """One exchange of clocks: t0 and t3 on ours, t1 and t2 on the exporter's."""

    @property
    def instance_id(self) -> str: ...
    @property
    def boot_id(self) -> str: ...
    @property
    def t0_ns(self) -> int: ...
    @property
    def t1_ns(self) -> int: ...
    @property
    def t2_ns(self) -> int: ...
    @property
    def t3_ns(self) -> int: ...


class Look(Protocol):
    """What a device showed beside its energy, in the exporter's clock."""

    @property
    def time_ns(self) -> int: ...
    def known(self) -> Iterable[tuple[str, float | int]]:
        """Names and values of what it tells."""


class Owner(Protocol):
    """A container that has a device, or a part of it."""

    @property
    def namespace(self) -> str: ...
    @property
    def pod(self) -> str: ...
    @property
    def container(self) -> str: ...
    @property
    def partition(self) -> str: ...


class Owners(Protocol):
    """Who has a device. `known` is False where nobody knows, which is not the same as nobody."""

    @property
    def containers(self) -> Sequence[Owner]: ...
    @property
    def known(self) -> bool: ...
    @property
    def problem(self) -> str: ...
    @property
    def since_ns(self) -> int | None:
        """When the exporter learned it, by its clock; None: it did not say."""


class Ticks(Protocol):
    """Ticks of one device in columns of the same length, in the exporter's clock; energy is cumulative."""

    @property
    def exporter(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def first_sequence(self) -> int: ...
    @property
    def time_ns(self) -> Sequence[int]: ...
    @property
    def bracket_ns(self) -> Sequence[int]: ...
    @property
    def energy_mj(self) -> Sequence[int]: ...
    @property
    def flags(self) -> Sequence[int]: ...
    @property
    def missed_ticks(self) -> int: ...
    @property
    def monotonic_ns(self) -> int:
        """When this was sent ..."""

    @property
    def owners(self) -> Owners:
        """... and who had the device then, as far as the exporter knew."""

    @property
    def look(self) -> Look | None: ...
    @property
    def suspect(self) -> Sequence[str]: ...


class Exporter(Protocol):
    """One connection to one exporter. Every method raises EnergyError when it does not answer."""

    async def describe(self) -> Description:
        """What is measured there."""

    async def ping(self) -> Ping:
        """Exchange clocks once."""

    def watch(self, *, after: Mapping[str, int], instance_id: str, devices: Sequence[str]) -> AsyncIterator[Ticks]:
        """Ticks after those sequence numbers, then live ones. Ends only by an EnergyError."""

    async def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What exporters want to see of a caller from elsewhere, and how they are known. See `config.EnergySettings`."""

    token_file: Path | None = None
    ca_file: Path | None = None
    tls_server_name: str | None = None


OPEN: Final = Access()
"""For exporters on a Unix socket."""


@dataclass(frozen=True, slots=True)
class GrpcExporter:
    """The real exporter. Imports gRPC when it is made, which the meter does only after it listens."""

    target: str
    _client: "_Client"

    @classmethod
    def connect(cls, target: str, *, access: Access = OPEN) -> "GrpcExporter":
        """Connect to a gRPC target such as `unix:/run/joulebench/exporter.sock`. Raises EnergyError for bad files."""
        from joulebench_exporter.client import ExporterClient  # noqa: PLC0415 - gRPC is slow to import
        from joulebench_exporter.errors import ExporterError  # noqa: PLC0415 - likewise

        try:
            client = ExporterClient(
                target,
                token_file=access.token_file,
                ca_file=access.ca_file,
                tls_server_name=access.tls_server_name,
            )
        except ExporterError as error:
            raise EnergyError(str(error)) from error
        return cls(target, client)

    async def describe(self) -> Description:
        """See Exporter."""
        from joulebench_exporter.errors import ExporterError  # noqa: PLC0415 - see connect

        try:
            return await self._client.describe()
        except ExporterError as error:
            raise EnergyError(str(error)) from error

    async def ping(self) -> Ping:
        """See Exporter."""
        from joulebench_exporter.errors import ExporterError  # noqa: PLC0415 - see connect

        try:
            return await self._client.ping()
        except ExporterError as error:
            raise EnergyError(str(error)) from error

    async def watch(
        self, *, after: Mapping[str, int], instance_id: str, devices: Sequence[str]
    ) -> AsyncIterator[Ticks]:
        """See Exporter."""
        from joulebench_exporter.errors import ExporterError  # noqa: PLC0415 - see connect

        try:
            async for batch in self._client.watch(after, instance_id=instance_id, devices=devices):
                yield batch
        except ExporterError as error:
            raise EnergyError(str(error)) from error

    async def close(self) -> None:
        """See Exporter."""
        await self._client.close()


class _Client(Protocol):
    """`joulebench_exporter.client.ExporterClient`, named without importing it."""

    async def describe(self) -> Description: ...
    async def ping(self) -> Ping: ...
    def watch(
        self, after: Mapping[str, int] | None = None, *, instance_id: str | None = None, devices: Sequence[str] = ()
    ) -> AsyncIterator[Ticks]: ...
    async def close(self) -> None: ...
