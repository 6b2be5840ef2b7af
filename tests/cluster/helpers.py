"""The cluster's own small controllers, as processes in its network: volumes, network policies, fake GPUs."""

import sys
from collections.abc import Mapping

from tests.cluster.fakegpu import gpus
from tests.cluster.layout import Layout
from tests.cluster.settings import REPOSITORY

HELPERS = ("storage", "policies")
GPU_PLUGIN = "gpu-plugin"
_PYTHON = ["env", f"PYTHONPATH={REPOSITORY}", "PYTHONUNBUFFERED=1", sys.executable, "-m"]


def helper_commands(layout: Layout) -> Mapping[str, list[str]]:
    """The command line of each helper."""
    return {name: [*_PYTHON, f"tests.cluster.{name}", str(layout.folder)] for name in HELPERS}


def gpu_plugin_command() -> list[str]:
    """The command line of the device plugin, to be run among a node's mounts."""
    return [*_PYTHON, "tests.cluster.fakegpu.plugin", str(gpus.FOLDER)]
