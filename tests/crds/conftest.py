"""Builders for documents: a good one, and changes to it."""

from collections.abc import Callable

import pytest

from joulebench_api.loading import Loaded, load

RUN = """\
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata:
  name: first
spec:
  server:
    template:
      spec:
        engine: LlamaCpp
        model: /models/a.gguf
  task:
    name: gsm8k
"""

SERVER = """\
apiVersion: joulebench.dev/v1alpha1
kind: ModelServer
metadata:
  name: big
spec:
  engine: vLLM
  model: org/big
"""


@pytest.fixture
def run_text() -> str:
    """The shortest run."""
    return RUN


@pytest.fixture
def server_text() -> str:
    """The shortest server."""
    return SERVER


@pytest.fixture
def load_run() -> Callable[..., Loaded]:
    """Load the shortest run (or another text) with overrides, as the file `x.yaml`."""

    def loaded(*overrides: str, text: str = RUN) -> Loaded:
        return load(text, source="x.yaml", overrides=overrides)

    return loaded
