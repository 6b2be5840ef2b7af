"""Ports of the cluster's network, on this machine's loopback interface for as long as a test needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.cluster.api import socket_in

_CONNECT_SECONDS = 5.0
_CHUNK_BYTES = 65_536


@asynccontextmanager
async def relayed(namespace: Path, host: str, port: int) -> AsyncIterator[str]:
    """An address such as 127.0.0.1:40123 behind which a port answers that is in another network namespace."""
    writers: set[asyncio.StreamWriter] = set()
    none_left = asyncio.Event()
    none_left.set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        none_left.clear()
        try:
            await _both_ways(reader, writer, namespace, host, port)
        finally:
            writer.close()
            writers.discard(writer)
            if not writers:
                none_left.set()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        _, number = server.sockets[0].getsockname()
        yield f"127.0.0.1:{number}"
    finally:
        server.close()
        # Each relay ends by itself once its connection is closed.
        for writer in writers:
            writer.close()
        await none_left.wait()


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, namespace: Path, host: str, port: int
) -> None:
    try:
        far = await asyncio.to_thread(socket_in, namespace, host, port, timeout_seconds=_CONNECT_SECONDS)
    except OSError:
        # The caller finds the connection closed, as where nobody listens.
        return
    far.setblocking(False)
    far_reader, far_writer = await asyncio.open_connection(sock=far)
    # Whichever side ends, or fails, ends both.
    ways = [asyncio.create_task(_one_way(reader, far_writer)), asyncio.create_task(_one_way(far_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
