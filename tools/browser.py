"""A headless Chromium through its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), for tests
and screenshots of pages in files."""

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEADLINE_SECONDS = 30.0

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to start as root with one; it opens our own files only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_browser() -> str | None:
    """The path of a Chromium on this machine; None: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class PageError(Exception):
    """The browser refused a command, or a script in the page threw."""


@dataclass
class Page:
    """One open page. `complaints`: script errors, console errors and refusals by the content security policy;
    `requests`: the addresses of everything that it tried to load."""

    socket: aiohttp.ClientWebSocketResponse
    session: str | None = None
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def call(self, method: str, /, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its reply; what happens meanwhile is noted."""
        message = {"id": next(self._ids), "method": method, "params": params}
        await self.socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                reply = await self.socket.receive_json()
                if reply.get("id") == message["id"]:
                    break
                self._note(reply)
        if "error" in reply:
            raise PageError(f"{method}: {reply['error']['message']}")
        result: dict[str, Any] = reply["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "assert"}:
                self.complaints.append(" ".join(str(one.get("value")) for one in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case _:
                pass

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        reply = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise PageError(str(reply["exceptionDetails"].get("exception", {}).get("description")))
        return reply["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression in the page is true. TimeoutError."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await self.evaluate(script):  # noqa: ASYNC110 - what is waited for is in another process
                await asyncio.sleep(0.02)

    async def resize(self, width: int, height: int, *, scale: float = 1, phone: bool = False) -> None:
        """Give the page a screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    async def prefer(self, *, dark: bool) -> None:
        """Set the reader's preferred colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, path: Path) -> None:
        """Load a file, named by its absolute path, and wait until its scripts have run."""
        await self.call("Page.navigate", url=path.as_uri())
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def press(self, key: str, *, code: int, text: str = "") -> None:
        """Press and release a key; `code` is its Windows virtual key code."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def screenshot(self, *, whole: bool = False, kind: str = "png", **options: Any) -> bytes:
        """What is to be seen, or the whole page."""
        reply = await self.call("Page.captureScreenshot", format=kind, captureBeyondViewport=whole, **options)
        return base64.b64decode(reply["data"])

    async def pdf(self) -> bytes:
        """The page on paper (A4)."""
        reply = await self.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(reply["data"])


@contextlib.asynccontextmanager
async def browser_page(browser: str) -> AsyncIterator[Page]:
    """Start a browser and open an empty page; both are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="joulebench-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            browser, *_FLAGS, f"--user-data-dir={profile}", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True, env=os.environ | {"HOME": profile},
        )  # fmt: skip
        try:
            address = await _address(Path(profile), process)
            async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
                yield await _attached(Page(socket))
        finally:
            # The group is the browser and its own helpers: it was started as the leader of a new session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _address(profile: Path, process: asyncio.subprocess.Process) -> str:
    """The browser writes its port and path into a file once it listens."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not file.exists() or file.read_text().count("\n") < 1:
            if process.returncode is not None:
                raise PageError(f"the browser ended with code {process.returncode} before it listened")
            await asyncio.sleep(0.02)
    port, path = file.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


async def _attached(page: Page) -> Page:
    target = await page.call("Target.createTarget", url="about:blank")
    attached = await page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
    page.session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        await page.call(f"{domain}.enable")
    return page
