"""What steps cost, and how it reaches the device files."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.device_file import DeviceFileReader, DeviceFileWriter
from joulebench_simulator.costs import Costs, Power, Speeds
from joulebench_simulator.devices import Devices, Load, identity
from joulebench_simulator.scheduler import Sequence, Work

MS = 1_000_000
POWER = Power(resting_mw=100_000, busy_mw=200_000, prefill_token_uj=50_000, decode_token_uj=100_000)
SPEEDS = Speeds(step_ns=4 * MS, prefill_token_ns=1 * MS, decode_token_ns=2 * MS)


def work(*shapes: tuple[int, int]) -> list[Work]:
    one = Sequence(owner=None, prompt_tokens=1, output_tokens=1)
    return [Work(one, prefill, decode) for prefill, decode in shapes]


def test_time_and_energy_are_affine_in_the_batch() -> None:
    cost = Costs(SPEEDS, POWER).of(work((10, 0), (0, 1)))
    assert cost.duration_ns == (4 + 10 * 1 + 2) * MS
    assert cost.active_uj == 16 * 200_000 // 1000 * 1000 + 10 * 50_000 + 100_000


def test_each_pays_its_own_tokens_and_an_equal_part_of_the_rest() -> None:
    cost = Costs(SPEEDS, POWER).of(work((10, 0), (0, 1)))
    fixed = 16 * 300_000
    assert cost.shares_uj == [500_000 + fixed // 2, 100_000 + fixed // 2]


def test_unlimited_speed_takes_no_time_and_costs_only_its_tokens() -> None:
    cost = Costs(Speeds(speed=float("inf")), POWER).of(work((3, 0)))
    assert (cost.duration_ns, cost.active_uj, cost.shares_uj) == (0, 150_000, [150_000])


@given(shapes=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 1)), min_size=1), devices=st.integers(1, 8))
def test_no_microjoule_is_lost_between_the_shares(shapes: list[tuple[int, int]], devices: int) -> None:
    cost = Costs(SPEEDS, POWER, devices=devices).of(work(*shapes))
    resting = cost.duration_ns * POWER.resting_mw // MS * devices
    assert sum(cost.shares_uj) == cost.active_uj + resting


def make_devices(folder: Path, count: int, *, now_ns: int = 0) -> tuple[Devices, list[DeviceFileReader]]:
    paths = [folder / f"{number}.device" for number in range(count)]
    writers = [
        DeviceFileWriter(
            path,
            identity=identity(path, number=number, name="Simulated GPU", memory_bytes=1),
            resting_power_mw=100_000,
            monotonic_ns=lambda: now_ns,
        )
        for number, path in enumerate(paths)
    ]
    return Devices(writers, resting_mw=100_000), [DeviceFileReader(path) for path in paths]


LOAD = Load(utilisation_percent=90, memory_used_bytes=5)


def test_the_counter_rises_through_a_step_and_rests_after_it(tmp_path: Path) -> None:
    devices, (reader,) = make_devices(tmp_path, 1)
    devices.step(start_ns=10 * MS, end_ns=20 * MS, active_uj=2_000_000, load=LOAD)
    assert [reader.energy_uj_at(at * MS) for at in (10, 15, 20, 30)] == [1_000_000, 2_500_000, 4_000_000, 5_000_000]
    state = reader.state()
    assert (state.power_mw, state.utilisation_percent, state.memory_used_bytes) == (300_000, 90, 5)
    devices.rest(30 * MS)
    assert (reader.state().power_mw, reader.state().utilisation_percent) == (100_000, 0)


def test_steps_too_short_to_show_are_shown_with_the_next_or_at_rest(tmp_path: Path) -> None:
    devices, (reader,) = make_devices(tmp_path, 1)
    for step in range(3):
        devices.step(start_ns=step * 1000, end_ns=(step + 1) * 1000, active_uj=7, load=LOAD)
    devices.rest(MS)
    assert reader.energy_uj_at(MS) == 100_000 + 3 * 7


def test_devices_share_the_work_to_the_last_microjoule(tmp_path: Path) -> None:
    devices, readers = make_devices(tmp_path, 3)
    devices.step(start_ns=0, end_ns=MS, active_uj=100, load=LOAD)
    active = [reader.energy_uj_at(MS) - 100_000 for reader in readers]
    assert (sum(active), max(active) - min(active)) == (100, 1)


def test_an_id_makes_the_same_devices_of_other_files(tmp_path: Path) -> None:
    def uuids(folder: str, device_id: str | None) -> list[str]:
        return [
            identity(tmp_path / folder, number=number, name="GPU", memory_bytes=0, device_id=device_id).uuid
            for number in range(2)
        ]

    assert uuids("a", "run-1") == uuids("b", "run-1") != uuids("b", "run-2")
    assert len(set(uuids("a", "run-1"))) == 2
    assert uuids("a", None) != uuids("b", None)


def test_the_same_file_is_the_same_device_after_a_restart(tmp_path: Path) -> None:
    devices, (reader,) = make_devices(tmp_path, 1)
    devices.step(start_ns=0, end_ns=MS, active_uj=900_000, load=LOAD)
    devices.close()
    make_devices(tmp_path, 1, now_ns=11 * MS)
    assert reader.energy_uj_at(11 * MS) == 2_000_000


@given(steps=st.lists(st.tuples(st.integers(0, 3 * MS), st.integers(0, 3 * MS), st.integers(0, 10**7)), max_size=40))
def test_energy_is_the_sum_of_steps_and_rest(tmp_path_factory: "object", steps: list[tuple[int, int, int]]) -> None:
    devices, (reader,) = make_devices(tmp_path_factory.mktemp("d"), 1)  # type: ignore[attr-defined]
    now, active = 0, 0
    for gap, duration, energy in steps:
        devices.step(start_ns=now + gap, end_ns=now + gap + duration, active_uj=energy, load=LOAD)
        now, active = now + gap + duration, active + energy
    devices.rest(now)
    assert abs(reader.energy_uj_at(now) - active - now * 100_000 // MS) <= 2 * len(steps) + 1
