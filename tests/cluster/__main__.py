"""The test cluster by hand: `python -m tests.cluster --help`."""

import argparse
import os
import sys
import time

from tests import nvml_stub
from tests.cluster import machine, record
from tests.cluster.binaries import binaries, missing
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError, NotPossibleHereError
from tests.cluster.images import store
from tests.cluster.settings import cache_folder

DEFAULT_NAME = "joulebench"
NOT_POSSIBLE = 3
_GPUS = range(nvml_stub.MAX_BOARDS + 1)


def main() -> int:
    """Do what the command line says; exit code 3 says that no cluster can run here."""
    options = _parser().parse_args()
    try:
        options.action(options)
    except NotPossibleHereError as error:
        print(f"no cluster: {error.message}", file=sys.stderr)
        return NOT_POSSIBLE
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--name", default=DEFAULT_NAME, help="the cluster's name (default: %(default)s)")
    commands = parser.add_subparsers(required=True)
    for name, action in ACTIONS.items():
        command = commands.add_parser(name, help=action.__doc__)
        command.set_defaults(action=action)
        if name == "start":
            command.add_argument(
                "--gpus",
                type=int,
                choices=_GPUS,
                default=0,
                metavar="N",
                help=f"GPUs that are not there, {_GPUS[-1]} at most",
            )
        if name in {"run", "logs"}:
            command.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _prepare(options: argparse.Namespace) -> None:
    """install missing Debian packages, build the programs and the images"""
    if installed := machine.install_packages():
        print("installed:", *installed)
    machine.require()
    began = time.monotonic()
    todo = ", ".join(module.name for module in missing())
    if todo:
        print(f"building {todo} (kept in {cache_folder()})", flush=True)
    binaries()
    for make in (store.pause, store.dns, store.workload):
        make()
    print(f"programs and images are there ({time.monotonic() - began:.0f} s)")


def _start(options: argparse.Namespace) -> None:
    """start a cluster that stays, and tell how to use it"""
    cluster = Cluster(options.name, stays=True)
    cluster.start()
    if options.gpus:
        cluster.add_gpus(count=options.gpus)
    seconds = cluster.figures["start to node Ready (s)"]
    print(f"cluster {options.name!r} is Ready (node Ready after {seconds:.1f} s); it stays until `make cluster-stop`")
    command = f"python -m tests.cluster --name {options.name} run"
    print(f"  use it:      {command} kubectl get pods -A   (or any command; bash for a shell in its network)")
    print(f"  its files:   {cluster.layout.folder}   (logs/, nodes/node0/var-lib/, kubeconfigs/)")
    print(f"  components:  {', '.join(cluster.components)}   (python -m tests.cluster logs NAME)")


def _stop(options: argparse.Namespace) -> None:
    """take down the cluster of this name, and what dead test runs left"""
    _sweep(options)
    for found in record.all_records():
        if found.name == options.name:
            found.take_down()
            print(f"cluster {found.name!r} is gone")
        else:
            print(f"cluster {found.name!r} is in use by process {found.owner_pid or '(none: it stays)'}: left alone")


def _sweep(options: argparse.Namespace) -> None:
    """take down what dead test runs left"""
    with record.claim_lock():
        for name in record.take_down_leftovers():
            print(f"cluster {name!r} is gone")


def _run(options: argparse.Namespace) -> None:
    """run a command in the cluster's network, as its administrator"""
    cluster = Cluster.attach(options.name)
    argv = [*cluster.enter(), *(options.words or ["bash"])]
    os.execvpe(argv[0], argv, {**cluster.environment, "TERM": os.environ.get("TERM", "dumb")})


def _logs(options: argparse.Namespace) -> None:
    """print what a component wrote; without its name, list the components"""
    cluster = Cluster.attach(options.name)
    if not options.words:
        print(*cluster.components, sep="\n")
    for component in options.words:
        print(cluster.logs(component), end="")


def _check(options: argparse.Namespace) -> None:
    """tell whether a cluster can run on this machine"""
    machine.require()
    print("a cluster can run here")


ACTIONS = {
    "check": _check,
    "prepare": _prepare,
    "start": _start,
    "stop": _stop,
    "sweep": _sweep,
    "run": _run,
    "logs": _logs,
}

if __name__ == "__main__":
    sys.exit(main())
