"""Who may read: tokens, checked by a fake API server that answers as the real one does; and TLS."""

import json
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from joulebench_exporter.access import Gate, MetricsGuard, bearer
from joulebench_exporter.cli import main
from joulebench_exporter.client import ExporterAccessError, ExporterClient, ExporterUnavailableError
from joulebench_exporter.errors import BadOptionError
from joulebench_exporter.kube_api import KubeApi, KubeApiError
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.server import serving
from joulebench_exporter.service import EnergyService
from joulebench_exporter.tls import Tls
from joulebench_exporter.web import Request

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock, ScriptedSensor

AUDIENCE = "joulebench-exporter"
SECRET = "a-token-that-must-never-be-shown"


class FakeCluster:
    """TokenReview and SubjectAccessReview: who owns which token, for which audience, and may get /metrics."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}
        """Token to (user name, audience); the API server's own audience is empty."""
        self.may_scrape: set[str] = set()
        self.status = 201
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def answer(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        if kind == "SubjectAccessReview":
            return {"allowed": spec["user"] in self.may_scrape and spec["nonResourceAttributes"]["path"] == "/metrics"}
        user, audience = self.tokens.get(spec["token"], ("", "nobody's"))
        wanted = spec.get("audiences", [""])
        if audience not in wanted:
            return {"error": f"token audiences do not match: {spec['token']}"}
        return {"authenticated": True, "audiences": wanted, "user": {"username": user, "uid": "1", "groups": ["g"]}}


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    fake = FakeCluster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.requests.append({"path": self.path, "as": self.headers["Authorization"], **body})
            content = json.dumps({"status": fake.answer(body["kind"], body["spec"])}).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as inherited
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def api(cluster: FakeCluster, tmp_path: Path) -> KubeApi:
    (tmp_path / "own").write_text("our-own-token\n")
    return KubeApi(url=cluster.url, token_file=tmp_path / "own", ca_file=None)


def account(namespace: str, name: str = "runner") -> str:
    return f"system:serviceaccount:{namespace}:{name}"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (f"Bearer {SECRET}", None),
        (f"bearer {SECRET}", None),
        ("", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer ", grpc.StatusCode.UNAUTHENTICATED),
        (f"Basic {SECRET}", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer expired-or-forged", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer for-another-audience", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer for-the-api-server", grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer of-a-strange-namespace", grpc.StatusCode.PERMISSION_DENIED),
        ("Bearer " + 20_000 * "x", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_only_tokens_for_our_audience_from_allowed_namespaces_pass(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock", authorization: str, code: grpc.StatusCode | None
) -> None:
    cluster.tokens = {
        SECRET: (account("bench"), AUDIENCE),
        "for-another-audience": (account("bench"), "vault"),
        "for-the-api-server": (account("bench"), ""),
        "of-a-strange-namespace": (account("tenant-b"), AUDIENCE),
    }
    refusal = await Gate(api, clock=clock, namespaces=["bench"]).refusal(authorization)
    assert (None if refusal is None else refusal.code) == code
    if refusal is not None:
        token = bearer(authorization) or "nothing"
        assert token not in refusal.message
        assert "bench" not in refusal.message.replace("joulebench", "")


async def test_without_a_list_every_namespace_is_welcome(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock"
) -> None:
    cluster.tokens = {SECRET: (account("anywhere"), AUDIENCE)}
    assert await Gate(api, clock=clock).refusal(f"Bearer {SECRET}") is None


async def test_a_token_is_reviewed_once_a_minute_with_our_own_rights(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock"
) -> None:
    cluster.tokens = {SECRET: (account("bench"), AUDIENCE)}
    gate = Gate(api, clock=clock)
    for _ in range(5):
        assert await gate.refusal(f"Bearer {SECRET}") is None
    assert len(cluster.requests) == 1
    assert cluster.requests[0]["path"] == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert cluster.requests[0]["as"] == "Bearer our-own-token"
    cluster.tokens.clear()  # the pod was deleted
    clock.now_ns += 61_000_000_000
    refusal = await gate.refusal(f"Bearer {SECRET}")
    assert refusal is not None
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_refused_token_may_come_again_after_ten_seconds(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock"
) -> None:
    gate = Gate(api, clock=clock)
    assert await gate.refusal(f"Bearer {SECRET}") is not None
    cluster.tokens = {SECRET: (account("bench"), AUDIENCE)}
    assert await gate.refusal(f"Bearer {SECRET}") is not None
    clock.now_ns += 11_000_000_000
    assert await gate.refusal(f"Bearer {SECRET}") is None


@pytest.mark.parametrize("status", [403, 500])
async def test_an_api_server_that_does_not_answer_lets_nobody_in_and_leaks_nothing(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock", status: int, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.tokens = {SECRET: (account("bench"), AUDIENCE)}
    cluster.status = status
    gate = Gate(api, clock=clock)
    refusal = await gate.refusal(f"Bearer {SECRET}")
    assert refusal is not None
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert SECRET not in caplog.text
    cluster.status = 201
    assert await gate.refusal(f"Bearer {SECRET}") is None  # what could not be checked is not remembered


async def test_no_api_server_is_said_without_what_was_sent(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("our-own-token")
    api = KubeApi(url="http://127.0.0.1:1", token_file=tmp_path / "own", ca_file=None)
    with pytest.raises(KubeApiError) as caught:
        await api.review_token(SECRET, audience=AUDIENCE)
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    assert str(caught.value) == f"the API server did not answer {path}: ConnectionRefusedError"


@pytest.mark.parametrize(("token", "status"), [("scraper", None), ("somebody", 403), ("forged", 401), ("", 401)])
async def test_metrics_are_for_those_whom_the_cluster_lets_get_them(
    cluster: FakeCluster, api: KubeApi, clock: "FakeClock", token: str, status: int | None
) -> None:
    cluster.tokens = {"scraper": (account("monitoring", "prometheus"), ""), "somebody": (account("bench"), "")}
    cluster.may_scrape = {account("monitoring", "prometheus")}
    guard = MetricsGuard(api, clock=clock)
    request = Request(method="GET", path="/metrics", headers={"authorization": f"Bearer {token}"})
    answers = [await guard(request), await guard(request)]
    assert [None if answer is None else answer.status.value for answer in answers] == [status, status]
    assert len(cluster.requests) <= 2  # a review of the token, and one of the right


def test_outside_of_a_cluster_tokens_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(BadOptionError, match="no pod"):
        KubeApi.of_this_pod({}, folder=tmp_path)


Guarded = Callable[..., Any]


@pytest.fixture
def guarded(api: KubeApi, clock: "FakeClock", scripted_sensor: "Callable[..., ScriptedSensor]") -> Guarded:
    """An exporter on TCP behind a gate."""

    @asynccontextmanager
    async def serve(*, tls: Tls | None = None) -> AsyncIterator[str]:
        sampler = Sampler(sensors=[scripted_sensor(gpu_0=5)], clock=clock, period_ns=100_000_000)
        sampler.sample()
        service = EnergyService(
            sampler=sampler, clock=clock, instance_id="i", boot_id="b", notes=[], batch_seconds=0.005
        )
        async with serving(service, "127.0.0.1:0", gate=Gate(api, clock=clock), tls=tls) as address:
            yield address

    return serve


async def test_a_client_with_a_token_is_served(cluster: FakeCluster, guarded: Guarded, tmp_path: Path) -> None:
    cluster.tokens = {SECRET: (account("bench"), AUDIENCE)}
    (tmp_path / "token").write_text(SECRET)
    async with guarded() as address, ExporterClient(address, token_file=tmp_path / "token") as client:
        description = await client.describe()
        batch = await anext(client.watch())
        await client.ping()
        await client.window("gpu-0", 0, 10**12)
    assert [device.uuid for device in description.devices] == [batch.device] == ["gpu-0"]


async def test_a_client_without_a_token_is_not(guarded: Guarded, tmp_path: Path) -> None:
    async with guarded() as address, ExporterClient(address) as client:
        with pytest.raises(ExporterAccessError, match="UNAUTHENTICATED"):
            await client.describe()
        with pytest.raises(ExporterAccessError, match="UNAUTHENTICATED"):
            await anext(client.watch())


async def test_a_token_that_cannot_be_read_is_said_with_its_path(guarded: Guarded, tmp_path: Path) -> None:
    async with guarded() as address, ExporterClient(address, token_file=tmp_path / "none") as client:
        with pytest.raises(ExporterAccessError, match="none"):
            await client.describe()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    tls = Tls(certificate=folder / "tls.crt", key=folder / "tls.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(tls.key), "-out", str(tls.certificate), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return tls


async def test_streams_are_encrypted_where_there_is_a_certificate(
    cluster: FakeCluster, guarded: Guarded, certificate: Tls, tmp_path: Path
) -> None:
    cluster.tokens = {SECRET: (account("bench"), AUDIENCE)}
    (tmp_path / "token").write_text(SECRET)
    token = tmp_path / "token"
    async with guarded(tls=certificate) as address:
        async with ExporterClient(address, token_file=token, ca_file=certificate.certificate) as client:
            assert (await client.describe()).instance_id == "i"
        async with ExporterClient(address, token_file=token, timeout_seconds=0.5) as plain:
            with pytest.raises(ExporterUnavailableError):
                await plain.describe()


def test_a_certificate_and_a_key_that_do_not_belong_together_are_refused(certificate: Tls) -> None:
    with pytest.raises(BadOptionError, match="cannot be used"):
        Tls(certificate=certificate.certificate, key=certificate.certificate).context()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "0.0.0.0:0", "--auth", "token"], "this is no pod"),
        (["--listen", "0.0.0.0:0"], "--auth token"),
        (["--listen", "127.0.0.1:0", "--metrics-auth", "token"], "this is no pod"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "/nonexistent"], "go together"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], "cannot be used"),
        (["--listen", "127.0.0.1:0", "--http", "nowhere"], "127.0.0.1:9781"),
    ],
)
def test_access_that_cannot_be_had_as_asked_is_refused_at_the_start(
    options: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["--sensor", "modelled", *options]) == 2
    assert said in capfd.readouterr().err
