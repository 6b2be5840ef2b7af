"""A runner pod and two nodes: servers by DNS, exporters by the topology, clocks apart, devices of several pods."""

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
    await pod.start(settings, pod.driver_settings(24, baseline_seconds=1.0))
    assert await pod.exit_codes() == (ExitCode.DONE, ExitCode.DONE), pod.words()

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
    slow = {"step_time": "40ms", "words": "2-3"}
    leaving = await place.ground.simulator(host=AT_A, port=place.port, **slow)
    place.config_map.write(topology(place.port))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    settings = pod.meter_settings([place.upstream()], topology_file=place.config_map.path)
    await pod.start(settings, pod.driver_settings(60, concurrency=2))
    await place.ground.until(lambda: len(urls_asked(pod)) >= 4, by=pod.meter)
    await place.ground.simulator(host=AT_B, port=place.port, **slow)
    pod.names(**{HOST: [AT_B]})
    at_b = f"http://{AT_B}:{place.port}/v1"
    await place.ground.until(lambda: urls_asked(pod)[-4:] == [at_b] * 4, by=pod.meter)
    await leaving.end()
    assert await pod.exit_codes() == (ExitCode.DONE, ExitCode.DONE), pod.words()
    assert pod.summary.counts.errors == 0
    asked = urls_asked(pod)
    assert set(asked[asked.index(at_b) + 4 :]) == {at_b}


async def test_a_server_whose_pods_are_all_gone_is_waited_for(place: Any) -> None:
    leaving = await place.ground.simulator(host=AT_A, port=place.port, step_time="20ms")
    place.config_map.write(topology(place.port))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    settings = pod.meter_settings([place.upstream(max_retries=1)], topology_file=place.config_map.path)
    await pod.start(settings, pod.driver_settings(20, concurrency=1))
    await place.ground.until(lambda: len(urls_asked(pod)) >= 3, by=pod.meter)
    pod.names(**{HOST: []})
    await place.ground.until(lambda: _finds_nobody(pod), by=pod.meter)
    await leaving.end()
    await place.ground.simulator(host=AT_B, port=place.port)
    pod.names(**{HOST: [AT_B]})
    assert await pod.exit_codes() == (ExitCode.DONE, ExitCode.DONE), pod.words()
    assert pod.summary.counts.errors == 0
    assert {*urls_asked(pod)} == {f"http://{host}:{place.port}/v1" for host in (AT_A, AT_B)}


async def test_an_exporter_that_was_replaced_is_found_at_its_new_address(place: Any) -> None:
    await place.ground.simulator(host=AT_A, port=place.port, device_file=place.device(A), device_id=A, step_time="40ms")
    node = await place.kubelet()
    node.owners = {("team", A): [_uuid(place.device(A))]}
    old = await place.ground.exporter(
        f"unix:{place.sockets}/old.sock", devices=[place.device(A)], pod_resources=node.target
    )
    place.config_map.write(topology(place.port, ("node-1", f"unix:{place.sockets}/old.sock")))
    pod = place.new_pod()
    pod.names(**{HOST: [AT_A]})
    energy = place.gpu.model_copy(update={"min_coverage_percent": 50})
    await pod.start(
        pod.meter_settings([place.upstream()], topology_file=place.config_map.path, energy=energy),
        pod.driver_settings(40, concurrency=2),
    )
    await place.ground.until(lambda: len(urls_asked(pod)) >= 3, by=pod.meter)
    await old.end()
    await place.ground.exporter(f"unix:{place.sockets}/new.sock", devices=[place.device(A)], pod_resources=node.target)
    place.config_map.write(topology(place.port, ("node-1", f"unix:{place.sockets}/new.sock")))
    assert await pod.exit_codes() == (ExitCode.DONE, ExitCode.DONE), pod.words()
    assert len({row["exporter"] for row in pod.journal().table(Kind.TICKS).to_pylist()}) == 2
    energy_part = pod.summary.energy
    assert energy_part.conserved
    [found] = energy_part.devices
    assert found.device == _uuid(place.device(A))
    assert found.queries_joules > 0


def _finds_nobody(pod: Any) -> bool:
    """Whether the meter knows that there is no pod, and nothing is being answered."""
    journal = pod.journal()
    noted = any("no pod" in row["message"] for row in journal.table(Kind.NOTE).to_pylist())
    return noted and journal.table(Kind.CALL).num_rows == journal.table(Kind.CALL_BEGIN).num_rows


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
