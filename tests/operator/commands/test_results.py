"""Where a run's results are, and how they come from there."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.commands.api_server import ApiServer
from tests.operator.commands.builders import URL, pod, run
from tests.operator.commands.conftest import Ask

from joulebench_operator.commands import cluster, reading
from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.commands.location import ClaimFolder, claim_folder, results_url
from joulebench_operator.commands.reader import ReaderImage, reader_image, reader_pod, trouble
from joulebench_operator.commands.results import results

PODS = "/api/v1/namespaces/team/pods"
SUMMARY = b'{"accuracy": 1}'
ATTEMPTS = [{"number": 1, "resultsURL": f"{URL}-1"}, {"number": 2, "resultsURL": f"{URL}-2"}, {"number": 3}]
SUCCESS = json.dumps({"status": "Success"}).encode()


# --- where they are ---------------------------------------------------------------------------------------------------


def test_the_results_are_where_the_status_says() -> None:
    assert results_url(run(results={"url": URL}, attempts=ATTEMPTS)) == URL


def test_a_run_in_progress_has_those_of_its_newest_attempt() -> None:
    assert results_url(run(attempts=ATTEMPTS)) == f"{URL}-2"


def test_an_earlier_attempt_can_be_asked_for() -> None:
    assert results_url(run(results={"url": URL}, attempts=ATTEMPTS), attempt=1) == f"{URL}-1"
    with pytest.raises(BadRequestError) as refused:
        results_url(run(results={"url": URL}, attempts=ATTEMPTS), attempt=3)
    assert refused.value.remedy == "it has: 1, 2"


def test_a_run_that_has_not_begun_has_none() -> None:
    with pytest.raises(CommandError, match="nightly has no results yet"):
        results_url(run())


def test_a_claims_address_is_read() -> None:
    assert claim_folder("pvc://team/a-claim/some/folder") == ClaimFolder("team", "a-claim", "some/folder")
    assert claim_folder("pvc://team/a-claim") == ClaimFolder("team", "a-claim", "")


@pytest.mark.parametrize("url", ["pvc://team", "s3://bucket/x", "pvc:///claim/x", "pvc://team/claim/../../etc"])
def test_other_addresses_are_no_claims(url: str) -> None:
    with pytest.raises(CommandError, match="is no pvc://"):
        claim_folder(url)


# --- the pod that reads -----------------------------------------------------------------------------------------------


def test_the_pod_can_read_the_claim_and_nothing_else() -> None:
    made = reader_pod("reader", run(), claim_folder(URL), image=ReaderImage("runner:1"), seconds=60)
    spec = made["spec"]
    assert spec["volumes"] == [
        {"name": "results", "persistentVolumeClaim": {"claimName": "nightly-results", "readOnly": True}}
    ]
    assert [mount["readOnly"] for mount in spec["containers"][0]["volumeMounts"]] == [True]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"]


def test_the_pod_never_stays() -> None:
    made = reader_pod("reader", run(), claim_folder(URL), image=ReaderImage("runner:1"), seconds=60)
    assert made["spec"]["activeDeadlineSeconds"] == 60
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("BenchmarkRun", "nightly", "12-34")
    # The operator removes what a run controls and did not ask for.
    assert "controller" not in owner


def test_its_image_is_the_runs_own_unless_another_is_asked_for() -> None:
    resolved = run(resolved={"runner": {"image": "told:1"}})
    own = [pod("a", main="terminated")]
    assert reader_image(resolved, own, asked="mine:1").image == "mine:1"
    assert reader_image(resolved, own, asked=None).image == "runner:1"
    assert reader_image(resolved, [], asked=None).image == "told:1"
    with pytest.raises(CommandError, match="does not tell its runner's image"):
        reader_image(run(), [], asked=None)


def test_what_keeps_the_pod_waiting_is_told_in_the_clusters_words() -> None:
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    assert (
        trouble({"status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}) == "ErrImagePull: no such image"
    )
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert trouble({"status": {"conditions": [unscheduled]}}) == "Unschedulable: 0/3 nodes"
    assert trouble({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}) is None


# --- bringing them ----------------------------------------------------------------------------------------------------


def archive(**files: bytes) -> bytes:
    """What `tar` writes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class Stream:
    """A connection to a command in a pod, as the client offers it: pieces of its output, then its end."""

    def __init__(self, output: bytes, *, said: bytes = b"", end: bytes = SUCCESS, piece: int = 700) -> None:
        self._pieces = [output[at : at + piece] for at in range(0, len(output), piece)]
        self._rest = {2: said, 3: end}

    def is_open(self) -> bool:
        """Whether more may come."""
        return bool(self._pieces)

    def read_channel(self, channel: int, timeout: float = 0) -> bytes:
        """What has come on a channel."""
        if channel == 1:
            return self._pieces.pop(0) if self._pieces else b""
        return self._rest.pop(channel, b"")


Connect = Callable[[Stream], None]


@pytest.fixture
def connect(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """The pod runs at once, and its command says what the test wants; in the end it must be gone."""
    made: list[Any] = []

    def connected(stream: Stream) -> None:
        def execute(_: cluster.Cluster, name: str, *command: str) -> Stream:
            made.append(name)
            assert command[0] == "tar"
            return stream

        monkeypatch.setattr(cluster.Cluster, "execute", execute)

    server.has(PODS, {"items": [pod("nightly-1-abc", main="terminated")]})
    server.has(PODS, {}, method="POST", status=201)
    monkeypatch.setattr("secrets.token_hex", lambda _: "abc")
    server.has(f"{PODS}/nightly-reader-abc", {"status": {"phase": "Running"}})
    server.has(f"{PODS}/nightly-reader-abc", {}, method="DELETE")
    yield connected
    if made:
        assert [path.partition("?")[0] for method, path, _ in server.asked if method == "DELETE"] == [
            f"{PODS}/nightly-reader-abc"
        ]


def with_results(**more: Any) -> dict[str, Any]:
    """A run whose summary is SUMMARY."""
    return run(results={"url": URL, "sha256": hashlib.sha256(SUMMARY).hexdigest()}, **more)


def test_results_come_from_a_claim_as_they_are(server: ApiServer, ask: Ask, connect: Connect, tmp_path: Path) -> None:
    server.has_run(with_results())
    connect(Stream(archive(**{"./summary.json": SUMMARY, "./journal/1.arrows": b"x" * 5000})))

    done = ask(results, "nightly", "--to", str(tmp_path / "new" / "nightly"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "nightly" / "summary.json").read_bytes() == SUMMARY
    assert (tmp_path / "new" / "nightly" / "journal" / "1.arrows").stat().st_size == 5000
    assert "2 files" in done.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["nightly"]


FAILURES = {
    "there is nothing": (Stream(b"", said=b"tar: nothing here", end=b'{"status": "Failure"}'), "tar: nothing here"),
    "it breaks off": (Stream(archive(summary=b"x" * 9000)[:5000], end=b""), "the connection broke off"),
    "it leads out": (Stream(archive(**{"../outside": b"x"})), "outside"),
    "it is another": (Stream(archive(**{"summary.json": b"{}"})), "summary.json is not the one"),
    "it lacks the summary": (Stream(archive(other=b"")), "summary.json is not the one"),
}


@pytest.mark.parametrize(("stream", "told"), FAILURES.values(), ids=FAILURES)
def test_what_fails_leaves_nothing_behind(
    *, server: ApiServer, ask: Ask, connect: Connect, tmp_path: Path, stream: Stream, told: str
) -> None:
    server.has_run(with_results())
    connect(stream)
    folder = tmp_path / "results"
    folder.mkdir()

    done = ask(results, "nightly", "--to", str(folder / "nightly"))

    assert done.exit_code == 1, done.output
    assert told in done.stderr
    assert list(folder.iterdir()) == []


def test_files_that_grow_meanwhile_are_no_failure(
    server: ApiServer, ask: Ask, connect: Connect, tmp_path: Path
) -> None:
    end = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "1"}]}}
    server.has_run(run(attempts=ATTEMPTS))
    connect(Stream(archive(first=b"x"), end=json.dumps(end).encode()))
    assert ask(results, "nightly", "--to", str(tmp_path / "nightly")).exit_code == 0


def test_ctrl_c_removes_the_pod(
    server: ApiServer, ask: Ask, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.has_run(with_results())
    connect(Stream(archive(first=b"x")))

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "_unpack", interrupted)
    done = ask(results, "nightly", "--to", str(tmp_path / "nightly"))
    assert done.exit_code != 0
    assert [method for method, _, _ in server.asked][-1] == "DELETE"


def test_a_folder_with_something_in_it_is_left_alone(server: ApiServer, ask: Ask, tmp_path: Path) -> None:
    server.has_run(with_results())
    (tmp_path / "mine").write_text("mine")
    done = ask(results, "nightly", "--to", str(tmp_path))
    assert done.exit_code == 2
    assert "is not empty" in done.stderr
    assert {method for method, _, _ in server.asked} == {"GET"}


def test_only_the_address_is_printed_if_that_is_all(server: ApiServer, ask: Ask) -> None:
    server.has_run(with_results())
    assert ask(results, "nightly", "--url").stdout == f"{URL}\n"


def test_results_in_a_store_are_brought_by_the_command_for_stores(server: ApiServer, ask: Ask, tmp_path: Path) -> None:
    store = tmp_path / "store" / "nightly"
    (store / "journal").mkdir(parents=True)
    (store / "summary.json").write_bytes(SUMMARY)
    (store / "journal" / "1.arrows").write_bytes(b"x")
    url = f"file://localhost{store}"
    server.has_run(run(results={"url": url, "sha256": hashlib.sha256(SUMMARY).hexdigest()}))

    done = ask(results, "nightly", "--to", str(tmp_path / "here"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "here" / "journal" / "1.arrows").read_bytes() == b"x"
