"""Which devices a pod has, asked of a real gRPC server that answers as an exporter does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_operator.describing import devices
from joulebench_operator.inquiry import Devices


@dataclass
class Exporter:
    """Its devices, by UUID: the pods of the namespace `team` that have them."""

    owners: dict[str, list[str]] = field(default_factory=dict)
    token: str | None = None
    """What callers must show."""
    address: str = ""

    async def describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """As the exporter's own."""
        shown = dict(context.invocation_metadata()).get("authorization")
        if self.token is not None and shown != f"Bearer {self.token}":
            await context.abort(StatusCode.UNAUTHENTICATED, "no token of this audience")
        return pb.DescribeResponse(
            exporter=pb.Exporter(instance_id="1", boot_id="1", protocol_version=PROTOCOL_VERSION),
            devices=[_device(uuid, pods) for uuid, pods in self.owners.items()],
        )


def _device(uuid: str, pods: list[str]) -> pb.Device:
    containers = [pb.Owner(namespace="team", pod=pod, container="server") for pod in pods]
    return pb.Device(
        uuid=uuid,
        domain="GPU",
        scope="Board",
        sensor_kind="simulated",
        owners=pb.Owners(known=True, containers=containers),
    )


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    served = Exporter()
    server = aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        served.describe,
        request_deserializer=pb.DescribeRequest.FromString,
        response_serializer=pb.DescribeResponse.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["Energy"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Describe": handler}),))
    served.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield served
    await server.stop(None)


def asked(exporter: Exporter, pod: str = "llama-1", namespace: str = "team") -> Devices:
    return Devices(exporter.address, namespace, pod, "uid")


async def test_a_pods_devices_are_those_that_it_owns_or_shares(exporter: Exporter) -> None:
    exporter.owners = {"GPU-3": ["llama-1", "other"], "GPU-1": ["llama-1"], "GPU-2": ["other"], "GPU-4": []}
    assert await devices(asked(exporter), token_file=None) == ("GPU-1", "GPU-3")
    assert await devices(asked(exporter, "absent"), token_file=None) == ()
    assert await devices(asked(exporter, namespace="elsewhere"), token_file=None) == ()


async def test_the_token_is_read_for_each_question_as_it_is_rotated(exporter: Exporter, tmp_path: Path) -> None:
    exporter.owners, file = {"GPU-1": ["llama-1"]}, tmp_path / "token"
    for token in ("first", "second"):
        exporter.token = token
        file.write_text(token)
        assert await devices(asked(exporter), token_file=file) == ("GPU-1",)


@pytest.mark.parametrize("written", ["another's", None], ids=["refused", "no file"])
async def test_without_a_good_token_no_devices_are_known_and_the_log_says_why(
    exporter: Exporter, tmp_path: Path, written: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.owners, exporter.token = {"GPU-1": ["llama-1"]}, "good"
    file = tmp_path / "token"
    if written is not None:
        file.write_text(written)
    assert await devices(asked(exporter), token_file=file) == ()
    (record,) = caplog.records
    assert ("no token of this audience" if written else str(file)) in record.__dict__["error"]
