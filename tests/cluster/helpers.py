"""The cluster's own small controllers, as processes in its network: volumes and network policies."""

import sys
from collections.abc import Mapping

from tests.cluster.layout import Layout
from tests.cluster.settings import REPOSITORY

HELPERS = ("storage", "policies")


def helper_commands(layout: Layout) -> Mapping[str, list[str]]:
    """The command line of each helper."""
    python = ["env", f"PYTHONPATH={REPOSITORY}", "PYTHONUNBUFFERED=1", sys.executable]
    return {name: [*python, "-m", f"tests.cluster.{name}", str(layout.folder)] for name in HELPERS}
