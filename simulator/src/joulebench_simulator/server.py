"""The process: everything put together, from start to clean end."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from joulebench_api.contracts.device_file import DeviceFileError, DeviceFileReader, DeviceFileWriter, DeviceIdentity
from joulebench_simulator.answers import Answerer, Drawn, Echo, FirstOf, Scripted, read_answers
from joulebench_simulator.app import App
from joulebench_simulator.costs import Costs, Power, Speeds
from joulebench_simulator.devices import Devices, identity
from joulebench_simulator.engine import Engine
from joulebench_simulator.errors import BadOptionError
from joulebench_simulator.faults import Faults, Rule, parse_rule, read_rules
from joulebench_simulator.generation import Generator
from joulebench_simulator.http import Connection
from joulebench_simulator.lifeline import die_with_parent, on_end_of_input
from joulebench_simulator.log import RequestLog
from joulebench_simulator.prefixes import PrefixCache
from joulebench_simulator.scheduler import BLOCK_TOKENS, Limits, Scheduler

_GIB: Final = 1024**3


def serve(options: argparse.Namespace, *, api_key: str | None, given: Sequence[Path] = ()) -> int:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of stdin. Raises SimulatorError.

    `given`: files of devices that others made, used where the options name none.
    """
    if options.exit_with_stdin:
        die_with_parent()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(options, api_key=api_key, given=given))
    return 0


def check(options: argparse.Namespace) -> int:
    """Read all files that the options name. Raises BadOptionError."""
    _answerer(options)
    _rules(options)
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(options: argparse.Namespace, *, api_key: str | None, given: Sequence[Path]) -> None:
    log = RequestLog(options.log)
    devices = _devices(options, given)
    engine = _engine(options, devices=devices, log=log)
    app = _app(options, engine=engine, api_key=api_key)
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(lambda: Connection(app.handle, connections), options.host, options.port)
    except OSError as error:
        raise BadOptionError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror or error}", remedy="choose another --port"
        ) from error
    stop = _stop_event(loop, with_stdin=options.exit_with_stdin)
    working = loop.create_task(engine.run(), name="engine")
    stopping = loop.create_task(stop.wait(), name="stop")
    host, port = server.sockets[0].getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with _ready_file(options.ready_file, url=url):
        sys.stderr.write(f"serving {options.served_model_name} at {url}\n")
        sys.stderr.flush()
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    for connection in set(connections):
        connection.close()
    stopping.cancel()
    if working.done():
        working.result()  # an engine ends by itself only with an error
    working.cancel()
    devices.close()
    log.close()


def _stop_event(loop: asyncio.AbstractEventLoop, *, with_stdin: bool) -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ended() -> None:
        loop.call_soon_threadsafe(stop.set)

    if with_stdin:
        on_end_of_input(ended)
    return stop


def _devices(options: argparse.Namespace, given: Sequence[Path]) -> Devices:
    resting_mw = round(options.resting_watts * 1000)
    known = _own_devices(options) if options.device_file else {path: _identity_in(path) for path in given}
    writers = [_writer(path, identity=one, resting_mw=resting_mw) for path, one in known.items()]
    return Devices(writers, resting_mw=resting_mw)


def _own_devices(options: argparse.Namespace) -> dict[Path, DeviceIdentity]:
    return {
        path: identity(
            path,
            number=number,
            name=options.device_name,
            memory_bytes=options.device_memory_gib * _GIB,
            device_id=options.device_id,
        )
        for number, path in enumerate(options.device_file)
    }


def _identity_in(path: Path) -> DeviceIdentity:
    """Whose file a given one is: it stays that device's, and its energy goes on."""
    try:
        reader = DeviceFileReader(path)
    except DeviceFileError as error:
        raise BadOptionError(error.message, remedy="name files that whoever made the devices has made") from error
    known = reader.identity
    reader.close()
    return known


def _writer(path: Path, *, identity: DeviceIdentity, resting_mw: int) -> DeviceFileWriter:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return DeviceFileWriter(path, identity=identity, resting_power_mw=resting_mw)
    except OSError as error:
        raise BadOptionError(
            f"device file {path}: {error.strerror}", remedy="name a file that can be written"
        ) from error


def _engine(options: argparse.Namespace, *, devices: Devices, log: RequestLog) -> Engine:
    limits = Limits(
        max_sequences=options.max_num_seqs,
        max_batched_tokens=options.max_num_batched_tokens,
        kv_tokens=options.kv_cache_tokens,
    )
    speeds = Speeds(
        step_ns=options.step_time,
        prefill_token_ns=options.prefill_token_time,
        decode_token_ns=options.decode_token_time,
        speed=options.speed,
    )
    power = Power(
        resting_mw=round(options.resting_watts * 1000),
        busy_mw=round(options.busy_watts * 1000),
        prefill_token_uj=round(options.prefill_token_joules * 1e6),
        decode_token_uj=round(options.decode_token_joules * 1e6),
    )
    return Engine(
        scheduler=Scheduler(limits),
        costs=Costs(speeds, power, devices=max(1, devices.count)),
        devices=devices,
        log=log,
        prefixes=PrefixCache(blocks=options.kv_cache_tokens // BLOCK_TOKENS if options.prefix_cache else 0),
        memory_bytes=options.device_memory_gib * _GIB,
    )


def _app(options: argparse.Namespace, *, engine: Engine, api_key: str | None) -> App:
    generator = Generator(
        _answerer(options), seed=options.seed, max_model_len=options.max_model_len, tool_calls=options.tool_calls
    )
    return App(
        engine=engine,
        generator=generator,
        model=options.served_model_name,
        max_model_len=options.max_model_len,
        faults=Faults(rules=_rules(options), seed=options.seed),
        start_delay_seconds=options.start_delay / 1e9,
        api_key=api_key,
    )


def _answerer(options: argparse.Namespace) -> Answerer:
    """Who answers: the file first, if there is one."""
    least, most = options.words
    drawn: Answerer = Drawn(seed=options.seed, least_words=least, most_words=most)
    last = Echo() if options.answer_with == "echo" else drawn
    if options.answers is None:
        return last
    scripted = Scripted(
        entries=read_answers(options.answers),
        seed=options.seed,
        right=options.right,
        preface_words=options.preface_words,
    )
    return FirstOf([scripted, last])


def _rules(options: argparse.Namespace) -> list[Rule]:
    rules = [parse_rule(text) for text in options.fault]
    return rules if options.faults is None else [*rules, *read_rules(options.faults)]


@contextmanager
def _ready_file(path: Path | None, *, url: str) -> Iterator[None]:
    """A file that is there, complete, for as long as the server listens."""
    if path is None:
        yield
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
