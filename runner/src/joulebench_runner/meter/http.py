"""What the meter's HTTP servers share."""

import os
from pathlib import Path
from typing import Final

from aiohttp import web

from joulebench_runner.errors import BadInputError, RunnerError

_SHUTDOWN_SECONDS: Final = 1.0
_LONGEST_SOCKET_PATH: Final = 100
"""Bytes; the kernel's limit is 108 on Linux and 104 on macOS, with the final zero."""


async def serve_tcp(app: web.Application, *, host: str, port: int, name: str) -> tuple[web.AppRunner, str]:
    """Serve on an address; gives the runner to clean up and the URL. Raises RunnerError if the port is taken.

    Handlers are cancelled when their caller closes the connection.
    """
    runner = await _started(app)
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise RunnerError(
            f"the meter's {name} cannot listen on {host}:{port}: {error.strerror}",
            remedy="Choose another port, or end the process that holds it.",
        ) from error
    bound = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    return runner, f"http://{shown}:{bound}"


async def serve_unix(app: web.Application, *, path: Path) -> web.AppRunner:
    """Serve on a Unix socket that this user alone may use. Raises RunnerError where that cannot be."""
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        raise BadInputError(
            f"the path of the control socket is too long for a Unix socket: {path}",
            remedy="Choose a shorter folder, for example under the system's folder for temporary files.",
        )
    runner = await _started(app)
    try:
        await web.UnixSite(runner, str(path)).start()
        os.chmod(path, 0o600)  # noqa: PTH101 - quick, and pathlib is refused in async functions
    except OSError as error:
        await runner.cleanup()
        raise RunnerError(f"the meter cannot listen on {path}: {error.strerror}") from error
    return runner


async def _started(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    return runner
