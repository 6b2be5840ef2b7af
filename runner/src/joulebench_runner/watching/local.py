"""An exporter of our own, on a Unix socket, for as long as it is watched."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from joulebench_exporter.client import ExporterClient, ExporterError
from joulebench_runner.errors import BadInputError, EnergyError
from joulebench_runner.local.addresses import socket_folder
from joulebench_runner.local.child import Child


@asynccontextmanager
async def local_exporter(options: Sequence[str]) -> AsyncIterator[ExporterClient]:
    """Start one, wait until it answers, stop it at the end. Its own words where it cannot start."""
    with socket_folder() as folder:
        target = f"unix:{folder}/exporter.sock"
        argv = (sys.executable, "-m", "joulebench_exporter", "--listen", target, *options, "--exit-with-stdin")
        child = await Child.start("exporter", argv, log=folder / "exporter.log")
        try:
            async with ExporterClient(target, timeout_seconds=15) as client:
                await _answering(client, child)
                yield client
        finally:
            await child.stop()


async def _answering(client: ExporterClient, child: Child) -> None:
    describe, ended = asyncio.create_task(client.describe()), asyncio.create_task(child.wait())
    try:
        await asyncio.wait({describe, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not describe.done():
            raise _refused(child)
        await describe
    except ExporterError as error:
        raise EnergyError(error.message, remedy=error.remedy) from error
    finally:
        describe.cancel()
        ended.cancel()
        await asyncio.wait({describe, ended})


def _refused(child: Child) -> BadInputError:
    """The exporter's own two lines: what is wrong, and the remedy."""
    message, _, remedy = child.log_tail(2).partition("\n")
    return BadInputError(message.partition(": ")[2] or message, remedy=remedy or None)
