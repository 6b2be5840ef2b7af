"""The meter at an exporter on another node: with a token that is rotated, and a certificate that names no address."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import grpc
import pytest
from grpc import aio

from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.proto.energy_pb2_grpc import EnergyServicer, add_EnergyServicer_to_server
from joulebench_runner.errors import EnergyError
from joulebench_runner.meter.exporter import Access, GrpcExporter

NAME = "exporter.test"


class Guarded(EnergyServicer):
    """Describes itself to whoever has the token of the day."""

    token = "monday"

    async def Describe(  # noqa: N802 - named by the protocol
        self,
        request: pb.DescribeRequest,
        context: aio.ServicerContext[pb.DescribeRequest, Awaitable[pb.DescribeResponse]],
    ) -> pb.DescribeResponse:
        if ("authorization", f"Bearer {self.token}") not in (context.invocation_metadata() or ()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "present a token")
        exporter = pb.Exporter(instance_id="e1", boot_id="b1", protocol_version=PROTOCOL_VERSION)
        return pb.DescribeResponse(exporter=exporter)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tls.crt` and `tls.key`."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"), "-days", "2", "-subj", f"/CN={NAME}",
         "-addext", f"subjectAltName=DNS:{NAME}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
async def exporter(certificate: Path) -> AsyncIterator[tuple[Guarded, str]]:
    server = aio.server()
    guarded = Guarded()  # type: ignore[abstract]  # the other methods are not called
    add_EnergyServicer_to_server(guarded, server)
    pair = ((certificate / "tls.key").read_bytes(), (certificate / "tls.crt").read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    yield guarded, f"127.0.0.1:{port}"
    await server.stop(0)


async def test_a_rotated_token_is_read_anew_and_the_certificate_is_checked_by_its_name(
    exporter: tuple[Guarded, str], certificate: Path, tmp_path: Path
) -> None:
    guarded, address = exporter
    token = tmp_path / "token"
    token.write_text("monday\n")
    access = Access(token_file=token, ca_file=certificate / "tls.crt", tls_server_name=NAME)
    connected = GrpcExporter.connect(address, access=access)
    assert (await connected.describe()).instance_id == "e1"
    guarded.token = "tuesday"
    with pytest.raises(EnergyError, match="present a token"):
        await connected.describe()
    token.write_text("tuesday\n")
    assert (await connected.describe()).instance_id == "e1"
    await connected.close()


@pytest.mark.parametrize("missing", ["token_file", "ca_file"])
async def test_a_file_that_is_not_there_is_an_error_of_the_energy_alone(
    exporter: tuple[Guarded, str], certificate: Path, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "token").write_text("monday")
    files = {"token_file": tmp_path / "token", "ca_file": certificate / "tls.crt"} | {missing: tmp_path / "none"}
    with pytest.raises(EnergyError, match="none"):
        await GrpcExporter.connect(exporter[1], access=Access(tls_server_name=NAME, **files)).describe()
