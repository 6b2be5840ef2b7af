"""A runner pod and two nodes: servers by DNS, exporters by the topology, clocks apart, devices of several pods."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from joulebench_api.contracts.device_file import DeviceFileReader
from joulebench_runner.errors import ExitCode
from joulebench_runner.journal.schema import Kind

HOST = "llama-pods.team.svc"
A, B, STRANGER = "llama-7d9f8c-bcdfg", "llama-7d9f8c-hjklm", "other-7d9f8c-bcdfg"
AT_A, AT_B = "127.0.0.2", "127.0.0.3"
BOOT_OFFSET_SECONDS = 5000


def topology(port: int, *exporters: tuple[str, str], **more: Any) -> dict[str, Any]:
    server = {
        "alias": "model",
        "url": f"http://llama.team.svc:{port}/v1",
        "model": "simulator",
        "headless_service": HOST,
        "port": port,
        "namespace": "team",
        "deployment": "llama",
        "pods": [{"name": A, "ip": AT_A}, {"name": B, "ip": AT_B}],
    }
    named = [{"node": node, "address": address} for node, address in exporters]
    return {"servers": [server | more], "exporters": named, "audience": "joulebench-exporter"}


def pods_asked(pod: Any) -> Counter[str]:
    """How many calls for questions each pod served."""
    rows = pq.read_table(pod.results / "turns.parquet").to_pylist()
    return Counter(row["server_pod"] for row in rows if row["query_id"] is not None)


def urls_asked(pod: Any) -> list[str]:
    rows = pod.journal().table(Kind.CALL_BEGIN).to_pylist()
    ended = {row["call_id"]: row["server_url"] for row in pod.journal().table(Kind.CALL).to_pylist()}
    return [ended[row["call_id"]] for row in rows if row["call_id"] in ended]


async def test_two_replicas_on_two_nodes_are_each_billed_by_their_own_devices(place: Any) -> None:
    for name, host in ((A, AT_A), (B, AT_B), (STRANGER, "127.0.0.4")):
        await place.ground.simulator(host=host, port=place.port, device_file=place.device(name), device_id=name)
    uuids = {name: _uuid(place.device(name)) for name in (A, B, STRANGER)}
    first, second = await place.kubelet(), await place.kubelet()
    first.owners = {("team", A): [uuids[A]], ("team", STRANGER): [uuids[STRANGER]]}
    second.owners = {("team", B): [uuids[B]]}
    exporters = [("node-1", f"unix:{place.sockets}/e1.sock"), ("node-2", f"unix:{place.sockets}/e2.sock")]
    await place.ground.exporter(
        exporters[0][1], devices=[place.device(A), place.device(STRANGER)], pod_resources=first.target
    )
    await place.ground.exporter(
        exporters[1][1], devices=[place.device(B)], pod_resources=second.target, boot_offset=f"{BOOT_OFFSET_SECONDS}s"
    )
    place.config_map.write(topology(place.port, *exporters))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A, AT_B]})
    settings = pod.meter_settings([place.upstream()], topology_file=place.config_map.path, energy=place.gpu)
    await pod.start_meter(settings)
    asker = await place.asker(pod)
    await place.ground.until(lambda: len(_exporters(pod)) == 2, by=pod.meter)
    await asker.begin(16)
    for _ in range(4):
        await asyncio.gather(*(asker.ask() for _ in range(4)))
    assert await asker.done() == ExitCode.DONE, pod.words()

    summary = pod.summary
    assert summary.counts.errors == 0
    assert summary.energy.conserved
    assert {one.device for one in summary.energy.devices} == {uuids[A], uuids[B]}
    assert all(one.queries_joules > 0 for one in summary.energy.devices)
    assert pods_asked(pod).keys() == {A, B}
    assert pod.termination.sensor == "simulated"
    clocks = _clocks(pod)
    assert clocks[uuids[A]]["offset_ns"] == 0
    assert clocks[uuids[B]]["bound_ns"] < 50_000_000
    off_by_ns = abs(clocks[uuids[B]]["offset_ns"] - BOOT_OFFSET_SECONDS * 10**9)
    assert off_by_ns <= clocks[uuids[B]]["bound_ns"]


async def test_a_replica_that_leaves_dns_gets_no_further_call_and_one_that_comes_is_asked(place: Any) -> None:
    leaving = await place.ground.simulator(host=AT_A, port=place.port)
    await place.ground.simulator(host=AT_B, port=place.port)
    place.config_map.write(topology(place.port))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    await pod.start_meter(pod.meter_settings([place.upstream()], topology_file=place.config_map.path))
    asker = await place.asker(pod)
    await asker.begin(200)
    await asker.ask()
    pod.names(**{HOST: [AT_B]})
    async with asyncio.timeout(30):
        while urls_asked(pod)[-1] != f"http://{AT_B}:{place.port}/v1":
            await asker.ask()
    await leaving.end()
    for _ in range(4):
        await asker.ask()
    assert await asker.done() == ExitCode.DONE, pod.words()
    asked = urls_asked(pod)
    turn = asked.index(f"http://{AT_B}:{place.port}/v1")
    assert set(asked[:turn]) == {f"http://{AT_A}:{place.port}/v1"}
    assert set(asked[turn:]) == {f"http://{AT_B}:{place.port}/v1"}


async def test_a_server_whose_pods_are_all_gone_is_waited_for(place: Any) -> None:
    leaving = await place.ground.simulator(host=AT_A, port=place.port)
    place.config_map.write(topology(place.port))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    settings = pod.meter_settings([place.upstream(max_retries=0)], topology_file=place.config_map.path)
    await pod.start_meter(settings)
    asker = await place.asker(pod)
    await asker.begin(2)
    await asker.ask()
    await leaving.end()
    pod.names(**{HOST: []})
    asking = asyncio.create_task(asker.ask())
    await place.ground.until(lambda: _misses_pods(pod), by=pod.meter)
    await place.ground.simulator(host=AT_B, port=place.port)
    pod.names(**{HOST: [AT_B]})
    assert await asyncio.wait_for(asking, 30)
    assert await asker.done() == ExitCode.DONE, pod.words()
    assert urls_asked(pod)[-1] == f"http://{AT_B}:{place.port}/v1"
    assert any("has no pod any more" in words for words in pod.summary.warnings)


async def test_an_exporter_that_was_replaced_is_found_at_its_new_address(place: Any) -> None:
    await place.ground.simulator(host=AT_A, port=place.port, device_file=place.device(A), device_id=A)
    node = await place.kubelet()
    node.owners = {("team", A): [_uuid(place.device(A))]}
    sockets = [f"unix:{place.sockets}/{name}.sock" for name in ("old", "new")]
    flags = {"devices": [place.device(A)], "pod_resources": node.target}
    old = await place.ground.exporter(sockets[0], **flags)
    place.config_map.write(topology(place.port, ("node-1", sockets[0])))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    energy = place.gpu.model_copy(update={"min_coverage_percent": 1})
    await pod.start_meter(pod.meter_settings([place.upstream()], topology_file=place.config_map.path, energy=energy))
    asker = await place.asker(pod)
    await asker.begin(2)
    await place.ground.until(lambda: len(_exporters(pod)) == 1, by=pod.meter)
    await asker.ask()
    await old.end()
    await place.ground.exporter(sockets[1], **flags)
    place.config_map.write(topology(place.port, ("node-1", sockets[1])))
    await place.ground.until(lambda: len(_exporters(pod)) == 2, by=pod.meter)
    await asker.ask()
    assert await asker.done() == ExitCode.DONE, pod.words()
    found = pod.summary.energy
    assert found.conserved
    assert [one.device for one in found.devices] == [_uuid(place.device(A))]
    assert found.queries_joules > 0


def _exporters(pod: Any) -> set[str]:
    """Those whose ticks have come, and of whose device the owner is known."""
    ticks = {row["exporter"] for row in pod.journal().table(Kind.TICKS).to_pylist()}
    return ticks & {row["exporter"] for row in pod.journal().table(Kind.OWNERS).to_pylist() if row["known"]}


def _misses_pods(pod: Any) -> bool:
    """Whether the meter knows that there is no pod."""
    return any("no pod" in row["message"] for row in pod.journal().table(Kind.NOTE).to_pylist())


def _clocks(pod: Any) -> dict[str, dict[str, Any]]:
    provenance = json.loads((pod.results / "provenance.json").read_text())
    found: list[dict[str, Any]] = provenance["energy"]["clocks"]
    return {one["device"]: one for one in found}


def _uuid(path: Path) -> str:
    reader = DeviceFileReader(path)
    try:
        return str(reader.identity.uuid)
    finally:
        reader.close()
