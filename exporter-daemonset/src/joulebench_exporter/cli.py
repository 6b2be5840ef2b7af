"""The command `joulebench-exporter`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from joulebench_exporter import __version__, durations, lifeline
from joulebench_exporter.environment import Parser
from joulebench_exporter.errors import BadOptionError, ExporterError
from joulebench_exporter.options import ExporterOptions
from joulebench_exporter.rhythm import Rhythm
from joulebench_exporter.tls import Tls

_DOCTOR: Final = "doctor"
_AUTO: Final = "auto"
_OFF: Final = "off"
_NONE: Final = "none"
_TOKEN: Final = "token"  # noqa: S105 - a word of ours
_CONTROL_GROUPS: Final = "/sys/fs/cgroup"
_KUBELET_SOCKET: Final = Path("/var/lib/kubelet/pod-resources/kubelet.sock")

_DESCRIPTION = """\
Measure the energy of this machine and serve every tick of every energy counter over gRPC.

Each device (a GPU, a CPU package, its memory, or the whole machine) has a ledger in integer millijoules that
never falls and never forgets: what a subscriber missed is replayed for at least ten minutes."""

_EPILOG = """\
sensors:
  auto      nvml and amdsmi where there are boards; and rapl where a package can be read,
            else modelled (the log says why)
  nvml      energy counters of NVIDIA's boards (Volta and newer); needs the driver's libnvidia-ml.so.1, no privilege
  amdsmi    energy accumulators of AMD's boards; needs the Python package amdsmi that comes with ROCm, no privilege
  rapl      hardware counters of Intel and AMD packages and memory; read by root, or after
            sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj
  modelled  no hardware needed: idle watts x uptime + watts per core x busy CPU time; an estimate,
            and labelled as one wherever its joules are shown
  simulated no hardware involved: the devices of a simulator, shown as by a real counter (--device-file, --tick,
            --phase, --delay, --jitter)

environment:
  JOULEBENCH_EXPORTER_LISTEN, ..._HTTP, ..._SENSOR, ...: every flag by its name in capitals, with _ for -; the command
            line counts more; lists are separated by commas, switches are true or false
  JOULEBENCH_MODELLED_IDLE_WATTS      watts of the whole machine at rest     (default 0.74 per logical core)
  JOULEBENCH_MODELLED_WATTS_PER_CORE  watts that one busy logical core adds  (default 2.76)

examples:
  joulebench-exporter doctor
  joulebench-exporter --listen unix:/tmp/energy.sock
  joulebench-exporter --listen unix:/tmp/energy.sock --sensor modelled --idle-watts 6 --watts-per-core 4.5
  sudo joulebench-exporter --listen 127.0.0.1:9780 --sensor rapl --period 50ms

exit status: 0 stopped by signal or by the end of stdin, 1 failed while running, 2 could not start as told
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == [_DOCTOR]:
        return _examine(_doctor_parser().parse(words[1:], os.environ))
    parsed = _parser().parse(words, os.environ)
    if parsed.exit_with_stdin:
        lifeline.die_with_parent()
    # gRPC is imported only now, so that --help and mistakes are answered at once.
    import asyncio  # noqa: PLC0415

    from joulebench_exporter import logs, server  # noqa: PLC0415

    logs.configure(parsed.log_level)
    try:
        asyncio.run(server.run(_options(parsed)))
    except ExporterError as error:
        print(f"joulebench-exporter: {error}", file=sys.stderr)  # noqa: T201 - for people, not for the log
        return error.exit_code
    return 0


def _options(parsed: argparse.Namespace) -> ExporterOptions:
    return ExporterOptions(
        listen=parsed.listen,
        http=parsed.http,
        sensors=_names(parsed.sensor),
        rapl_root=parsed.rapl_root,
        idle_watts=parsed.idle_watts,
        watts_per_core=parsed.watts_per_core,
        device_files=parsed.device_file,
        simulated_rhythm=_rhythm(parsed),
        period_ns=parsed.period,
        batch_seconds=parsed.batch / 1e9,
        ask_for_tokens=parsed.auth == _TOKEN,
        audience=parsed.audience,
        namespaces=parsed.allow_namespace,
        ask_scrapers_for_tokens=parsed.metrics_auth == _TOKEN,
        tls=_tls(parsed.tls_cert, parsed.tls_key),
        record=parsed.record,
        record_seconds=parsed.record_period / 1e9,
        pod_resources=_pod_resources(parsed.pod_resources),
        pod_groups=_pod_groups(parsed.pod_groups),
        owners_seconds=parsed.owners_period / 1e9,
        ready_file=parsed.ready_file,
        exit_with_stdin=parsed.exit_with_stdin,
        boot_offset_ns=parsed.boot_offset,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _examine(parsed: argparse.Namespace) -> int:
    """The doctor; exit status 1 where nothing can be measured."""
    from joulebench_exporter import doctor, host  # noqa: PLC0415 - as in main
    from joulebench_exporter.clock import SystemClock  # noqa: PLC0415
    from joulebench_exporter.sensors.detect import SensorOptions  # noqa: PLC0415

    clock = SystemClock()
    try:
        options = SensorOptions(
            boot_id=host.boot_id(),
            uptime_ns=clock.boottime_ns,
            rapl_root=parsed.rapl_root,
            idle_watts=parsed.idle_watts,
            watts_per_core=parsed.watts_per_core,
            device_files=parsed.device_file,
            simulated_rhythm=_rhythm(parsed),
        )
        findings = doctor.examine(options, names=_names(parsed.sensor))
        kubelet = doctor.Kubelet(socket=_pod_resources(parsed.pod_resources), pod_groups=_pod_groups(parsed.pod_groups))
        for line in doctor.report(findings, clock=clock, seconds=parsed.seconds / 1e9, kubelet=kubelet):
            print(line, flush=True)  # noqa: T201 - what the command is for
    except ExporterError as error:
        print(f"joulebench-exporter: {error}", file=sys.stderr)  # noqa: T201 - for people
        return error.exit_code
    return 0 if any(finding.sensor is not None for finding in findings) else 1


def _rhythm(parsed: argparse.Namespace) -> Rhythm:
    return Rhythm(
        tick_ns=parsed.tick,
        phase_ns=parsed.phase,
        delay_ns=parsed.delay,
        jitter_ns=parsed.jitter,
        seed=parsed.jitter_seed,
    )


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if (certificate is None) != (key is None):
        raise BadOptionError("--tls-cert and --tls-key go together", remedy="Give both, or neither.")
    return None if certificate is None or key is None else Tls(certificate=certificate, key=key)


def _pod_resources(text: str) -> Path | None:
    if text == _OFF or (text == _AUTO and not _KUBELET_SOCKET.parent.is_dir()):
        return None
    return _KUBELET_SOCKET if text == _AUTO else Path(text)


def _pod_groups(text: str) -> Path | None:
    return None if text == _OFF else Path(text)


def parsers() -> Sequence[Parser]:
    """Of the command and of its sub-command, for the reference page."""
    return _parser(), _doctor_parser()


def _parser() -> Parser:
    parser = Parser(
        prog="joulebench-exporter",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        required=True,
        help="unix:/path/to/socket (readable by this user alone), or a port on the loopback interface: 127.0.0.1:9780",
    )
    parser.add_argument(
        "--http",
        metavar="ADDRESS",
        help="serve /metrics (Prometheus, OpenMetrics), /healthz and /readyz there, such as 127.0.0.1:9781",
    )
    _add_sensor_options(parser)
    parser.add_argument(
        "--owners-period",
        metavar="TIME",
        type=_duration("100ms", "10m"),
        default="5s",
        help="time between questions to the kubelet while no pod is seen to come or go (5s)",
    )
    parser.add_argument(
        "--period", metavar="TIME", type=_duration("1ms", "60s"), default="100ms", help="time between reads (100ms)"
    )
    parser.add_argument(
        "--batch", metavar="TIME", type=_duration("1ms", "10s"), default="250ms", help="time between messages (250ms)"
    )
    _add_access_options(parser)
    parser.add_argument(
        "--record",
        metavar="FILE",
        type=Path,
        help="also write a plain log: CSV, one row per device and second (energy, power, utilisation, memory, ...)",
    )
    parser.add_argument(
        "--record-period", metavar="TIME", type=_duration("10ms", "1s"), default="1s", help="between its rows (1s)"
    )
    parser.add_argument(
        "--ready-file",
        metavar="PATH",
        type=Path,
        help="written (JSON: address, instance_id, boot_id, pid) once the exporter listens, removed when it ends",
    )
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="end when stdin is closed, so that the exporter ends with the program that started it",
    )
    # For tests of nodes whose clocks differ; without a meaning to anybody else.
    parser.add_argument("--boot-offset", type=_duration("0s", "10000m"), default="0s", help=argparse.SUPPRESS)
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="of the JSON lines on stderr"
    )
    parser.add_argument("--version", action="version", version=f"joulebench-exporter {__version__}")
    return parser


def _add_simulated(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device-file",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="simulated: the device file that joulebench-simulator writes; several times for several devices",
    )
    for name, default, text in (
        ("tick", "100ms", "time between two moves of the counter; 0ms: it moves all the time"),
        ("phase", "0ms", "when it moves, after the monotonic clock's whole ticks"),
        ("delay", "0ms", "how old the energy is that it shows"),
        ("jitter", "0ms", "by how much a move comes earlier or later, at most; below half a tick"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="TIME",
            type=_duration("0s", "60s"),
            default=default,
            help=f"simulated: {text} ({default})",
        )
    parser.add_argument("--jitter-seed", metavar="N", type=int, default=0, help="simulated: seed of the jitter (0)")


def _add_access_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--auth",
        choices=[_NONE, _TOKEN],
        default=_NONE,
        help="token: callers over TCP present a service-account token, checked by the cluster; needed to listen on "
        "other addresses than loopback (default: none)",
    )
    parser.add_argument(
        "--audience", metavar="NAME", default="joulebench-exporter", help="audience of those tokens (%(default)s)"
    )
    parser.add_argument(
        "--allow-namespace",
        metavar="NAME",
        action="append",
        default=[],
        help="whose service accounts may read; several times for several (default: all)",
    )
    parser.add_argument(
        "--metrics-auth",
        choices=[_NONE, _TOKEN],
        default=_NONE,
        help="token: scrapers of /metrics need a token and the right to get /metrics (default: none)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", type=Path, help="serve TCP and HTTP with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="and its key (PEM)")


def _doctor_parser() -> Parser:
    parser = Parser(
        prog="joulebench-exporter doctor",
        description="Say which sensors this machine has, what is missing and why, and measure how the counters tick.",
        allow_abbrev=False,
    )
    _add_sensor_options(parser)
    parser.add_argument(
        "--seconds", metavar="TIME", type=_duration("100ms", "10m"), default="10s", help="how long to measure (10s)"
    )
    return parser


def _add_sensor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sensor", metavar="NAMES", default="auto", help="auto, or a list such as rapl (see below; default: auto)"
    )
    parser.add_argument(
        "--rapl-root",
        metavar="DIR",
        type=Path,
        default=Path("/sys/class/powercap"),
        help="where the powercap tree is, in containers often a mount (default: /sys/class/powercap)",
    )
    parser.add_argument("--idle-watts", metavar="W", type=float, help="modelled: watts of the whole machine at rest")
    parser.add_argument("--watts-per-core", metavar="W", type=float, help="modelled: watts that one busy core adds")
    parser.add_argument(
        "--pod-resources",
        metavar="SOCKET",
        default=_AUTO,
        help="where the kubelet tells which pod has which device; off: do not ask "
        f"(default: {_KUBELET_SOCKET}, where its folder exists)",
    )
    parser.add_argument(
        "--pod-groups",
        metavar="DIR",
        default=_CONTROL_GROUPS,
        help="the node's control groups, in containers a mount: by them pods are seen to come and go, and the kubelet "
        "is asked at once; off: it is asked at intervals only (default: %(default)s)",
    )
    _add_simulated(parser)


def _duration(least: str, most: str) -> Callable[[str], int]:
    """An argparse type: a duration within bounds, in nanoseconds."""

    def parse(text: str) -> int:
        try:
            value = durations.parse_ns(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        if not durations.parse_ns(least) <= value <= durations.parse_ns(most):
            raise argparse.ArgumentTypeError(f"{text} is outside {least} to {most}")
        return value

    return parse
