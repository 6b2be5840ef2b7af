"""What made a run."""

from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.local.provenance import redacted, ulid
from joulebench_runner.surroundings import describe_machine, describe_versions

_MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
_RANDOM = st.integers(min_value=0, max_value=2**80 - 1)


def test_a_ulid_is_written_as_its_specification_says() -> None:
    # The greatest ULID, from github.com/ulid/spec.
    assert ulid(time_ms=2**48 - 1, randomness=2**80 - 1) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    assert ulid(time_ms=0, randomness=0) == "0" * 26


@given(_MOMENTS, _MOMENTS, _RANDOM, _RANDOM)
def test_ulids_sort_by_time(first: int, second: int, one: int, other: int) -> None:
    if first < second:
        assert ulid(time_ms=first, randomness=one) < ulid(time_ms=second, randomness=other)


def test_command_lines_lose_the_paths_of_this_machine() -> None:
    assert redacted(["/home/me/.venv/bin/python", "-m", "x", "--model", "/data/m.gguf"]) == [
        "python", "-m", "x", "--model", "m.gguf",
    ]  # fmt: skip


def test_machine_and_versions_are_known_as_far_as_they_are() -> None:
    assert describe_machine()["cores"]
    versions = describe_versions()
    assert versions["python"]
    assert "joulebench-runner" in versions
