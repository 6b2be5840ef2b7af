"""The memory that a simulated device and its readers share."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.device_file import (
    FILE_BYTES,
    RING_POINTS,
    DeviceFileError,
    DeviceFileReader,
    DeviceFileWriter,
    DeviceIdentity,
    DeviceState,
)

IDENTITY = DeviceIdentity(uuid="GPU-00000000-0000-0000-0000-000000000001", memory_bytes=1 << 34)
SECOND = 1_000_000_000


def writer_at(path: Path, now_ns: int, *, identity: DeviceIdentity = IDENTITY) -> DeviceFileWriter:
    return DeviceFileWriter(path, identity=identity, resting_power_mw=100_000, monotonic_ns=lambda: now_ns)


def state_at(time_ns: int, *, power_mw: int = 100_000) -> DeviceState:
    return DeviceState(time_ns=time_ns, energy_mj=0, power_mw=power_mw, resting_power_mw=100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.device"


def test_a_reader_sees_the_identity_and_the_last_state(path: Path) -> None:
    writer = writer_at(path, 5 * SECOND)
    shown = DeviceState(
        time_ns=6 * SECOND, energy_mj=1, power_mw=2, resting_power_mw=3, memory_used_bytes=4, utilisation_percent=5,
        memory_utilisation_percent=6, temperature_celsius=-7, clock_mhz=8, memory_clock_mhz=9, clock_reasons=1 << 40,
    )  # fmt: skip
    writer.write(shown)
    reader = DeviceFileReader(path)
    assert reader.identity == IDENTITY
    assert reader.state() == shown


def test_energy_follows_the_points_and_then_rests(path: Path) -> None:
    writer = writer_at(path, 0)
    writer.write(state_at(SECOND), points=[(1 * SECOND, 100_000_000), (2 * SECOND, 500_000_000)])
    reader = DeviceFileReader(path)
    times = [0, SECOND // 2, SECOND, 3 * SECOND // 2, 2 * SECOND, 3 * SECOND]
    assert [reader.energy_uj_at(time) // 1_000_000 for time in times] == [0, 50, 100, 300, 500, 600]


def test_of_two_points_with_one_time_the_later_counts(path: Path) -> None:
    writer = writer_at(path, 0)
    writer.write(state_at(SECOND), points=[(SECOND, 100), (SECOND, 900), (2 * SECOND, 1000)])
    reader = DeviceFileReader(path)
    assert (reader.energy_uj_at(SECOND - 1), reader.energy_uj_at(SECOND)) == (99, 900)


def test_what_the_ring_has_forgotten_is_the_oldest_energy(path: Path) -> None:
    writer = writer_at(path, 0)
    writer.write(state_at(0), points=[(time, time) for time in range(1, RING_POINTS + 100)])
    assert DeviceFileReader(path).energy_uj_at(7) == 100


@given(
    gaps=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=30),
    asked=st.lists(st.integers(0, 4 * 10**10), min_size=2),
)
def test_energy_never_falls(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[tuple[int, int]], asked: list[int]
) -> None:
    path = tmp_path_factory.mktemp("devices") / "0.device"
    writer = writer_at(path, 0)
    points, time_ns, energy_uj = [], 0, 0
    for gap_ns, used_uj in gaps:
        time_ns, energy_uj = time_ns + gap_ns, energy_uj + used_uj
        points.append((time_ns, energy_uj))
    writer.write(state_at(0), points=points)
    energies = [writer.energy_uj_at(time) for time in sorted(asked)]
    assert energies == sorted(energies)


def test_a_writer_that_comes_back_goes_on_where_the_device_is(path: Path) -> None:
    first = writer_at(path, 0)
    first.write(state_at(SECOND), points=[(SECOND, 400_000_000)])
    first.close()
    reader = DeviceFileReader(path)
    second = writer_at(path, 3 * SECOND)
    assert second.newest == (3 * SECOND, 600_000_000)
    assert reader.energy_uj_at(4 * SECOND) == 700_000_000


def test_a_step_that_was_cut_off_counts_as_done(path: Path) -> None:
    first = writer_at(path, 0)
    first.write(state_at(0), points=[(9 * SECOND, 5_000)])
    assert writer_at(path, SECOND).newest == (9 * SECOND, 5_000)


@pytest.mark.parametrize(
    ("now_ns", "identity"),
    [(1, IDENTITY), (9 * SECOND, DeviceIdentity(uuid="GPU-other"))],
    ids=["another boot", "another device"],
)
def test_another_device_begins_anew(path: Path, now_ns: int, identity: DeviceIdentity) -> None:
    writer_at(path, 5 * SECOND).write(state_at(5 * SECOND), points=[(5 * SECOND, 77)])
    assert writer_at(path, now_ns, identity=identity).newest == (now_ns, 0)


def test_a_change_that_never_ends_is_an_error_and_the_next_writer_repairs_it(path: Path) -> None:
    writer_at(path, 0).close()
    reader = DeviceFileReader(path)
    content = bytearray(path.read_bytes())
    content[256:264] = struct.pack("<Q", 7)
    with path.open("r+b") as file:
        file.write(content)
    with pytest.raises(DeviceFileError, match="in the middle of a change"):
        reader.state()
    writer_at(path, SECOND)
    assert reader.state().time_ns == SECOND


@pytest.mark.parametrize("content", [b"", b"\0" * FILE_BYTES, b"JBDEVICE"])
def test_other_files_are_no_device_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DeviceFileError, match="not a device file of version 1"):
        DeviceFileReader(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(DeviceFileError, match=r"0\.device: No such file"):
        DeviceFileReader(path)


def test_the_layout_is_the_documented_one(path: Path) -> None:
    writer = writer_at(path, 5)
    writer.write(state_at(6, power_mw=8), points=[(7, 9)])
    content = path.read_bytes()
    assert len(content) == FILE_BYTES == 69_632
    assert content[:8] == b"JBDEVICE"
    assert struct.unpack_from("<III", content, 8) == (1, 4096, 4096)
    assert content[64:77] == b"Simulated GPU"
    assert content[160:200] == IDENTITY.uuid.encode()
    assert struct.unpack_from("<Q8xQ8xQ", content, 264)[:2] == (6, 8)
    assert struct.unpack_from("<Q", content, 336) == (2,)
    assert struct.unpack_from("<QQQQ", content, 4096) == (5, 0, 7, 9)
