"""The client's connections: what becomes of them where nothing is heard any more."""

import asyncio
import socket
import sys

import pytest

from joulebench_runner.meter.client import AiohttpClient, Request


@pytest.mark.skipif(sys.platform != "linux", reason="the options are called otherwise elsewhere")
async def test_a_server_whose_machine_is_lost_is_given_up_after_90_s_but_not_one_that_thinks(
    client: AiohttpClient,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        _, port = server.sockets[0].getsockname()
        response = await client.send(Request(url=f"http://127.0.0.1:{port}/v1/models", method="GET", headers={}))
        connection = response._response.connection  # type: ignore[attr-defined]  # it shows its socket to nobody
        made = connection.transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle_seconds, interval_seconds, count = (made.getsockopt(socket.IPPROTO_TCP, one) for one in options)
        assert idle_seconds + interval_seconds * count == 90
        response.close()
