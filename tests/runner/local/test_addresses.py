"""Ports, sockets and hosts of this machine."""

import socket
import tempfile
from pathlib import Path

import pytest

from joulebench_runner.errors import BadInputError
from joulebench_runner.local.addresses import LOOPBACK, check_free, free_port, is_local, socket_folder


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, free_port()))


def test_a_port_in_use_is_refused_with_its_number() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInputError, match=f"port {port} on 127.0.0.1 is in use"):
            check_free(port, option="--meter-port")


def test_no_port_is_a_number_above_65535() -> None:
    with pytest.raises(BadInputError, match="0 to 65535"):
        check_free(70_000, option="--meter-port")


def test_any_port_will_do_when_none_was_chosen() -> None:
    check_free(0, option="--meter-port")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_this_machine_is_told_by_its_names(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_sockets_are_where_temporary_files_go_for_this_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as usual:
        monkeypatch.setattr(tempfile, "tempdir", usual)
        with socket_folder() as folder:
            assert folder.parent == Path(usual)
            assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_sockets_can_be_bound_where_the_path_for_temporary_files_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with socket_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "some-name-longer-than.sock"))
        assert folder.parent == Path("/tmp")
    assert not folder.exists()
