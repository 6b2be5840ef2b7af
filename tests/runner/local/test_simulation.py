"""Runs whose model is simulated: what is planned before anything is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.contracts.energy import Domain
from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.attempts import Attempt
from joulebench_runner.local.plan import LocalOptions, LocalPlan
from joulebench_runner.local.planning import identify, load_file, plan_run
from joulebench_runner.local.simulation import SENTENCE
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.records import LoadRequest
from joulebench_runner.tasks.registry import REGISTRY

ENGINE: dict[str, Any] = {"engine": "Simulator", "model": "sim"}


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def planned(
        engine: dict[str, Any] | None = None, *, task: dict[str, Any] | None = None, **options: Any
    ) -> LocalPlan:
        document = {
            "apiVersion": "joulebench.dev/v1alpha1",
            "kind": "BenchmarkRun",
            "metadata": {"name": "r"},
            "spec": {
                "server": {"template": {"spec": ENGINE | (engine or {})}},
                "task": task or {"name": "everyday", "limit": 3},
            },
        }
        file = tmp_path / "r.yaml"
        file.write_text(json.dumps(document))
        loaded = load_file(file, overrides=())
        attempt = Attempt(1, tmp_path / "run", None, None)
        chosen = LocalOptions(**options)
        return plan_run(
            loaded,
            run_file=identify(loaded, attempt=attempt, options=chosen),
            run_dir=attempt.folder,
            stored_below=Path(),
            socket_dir=tmp_path / "sockets",
            options=chosen,
        )

    return planned


def values(argv: Any, flag: str) -> list[str]:
    words = list(argv)
    return [words[at + 1] for at, word in enumerate(words) if word == flag]


def test_simulator_and_exporter_share_the_device_files(plan: Any, tmp_path: Path) -> None:
    made = plan({"parallelism": {"tensor": 2}})
    files = [str(tmp_path / "sockets" / f"{number}.device") for number in range(2)]
    assert values(made.server.argv, "--device-file") == values(made.exporter.argv, "--device-file") == files
    assert values(made.exporter.argv, "--sensor") == ["simulated"]
    assert made.meter_settings.energy.domains == [Domain.GPU]


def test_the_truth_lies_beside_the_runs_folder(plan: Any, tmp_path: Path) -> None:
    made = plan()
    assert values(made.server.argv, "--log") == [str(tmp_path / "run.truth.jsonl")]
    assert any("run.truth.jsonl" in note for note in made.notes)


def test_the_counters_rhythm_reaches_the_exporter(plan: Any) -> None:
    made = plan(rhythm={"tick": "20ms", "jitter": "2ms"})
    assert (values(made.exporter.argv, "--tick"), values(made.exporter.argv, "--jitter")) == (["20ms"], ["2ms"])


def test_another_sensor_measures_this_machine(plan: Any) -> None:
    made = plan(sensor="modelled")
    assert values(made.exporter.argv, "--sensor") == ["modelled"]
    assert values(made.exporter.argv, "--device-file") == []
    assert made.meter_settings.energy.domains == [Domain.CPU, Domain.DRAM]


def test_what_engine_args_say_is_not_said_again(plan: Any) -> None:
    made = plan({"engineArgs": {"device-file": "/d/0.device", "log": "/d/log", "answers": "/dev/null"}})
    assert values(made.server.argv, "--device-file") == values(made.exporter.argv, "--device-file") == ["/d/0.device"]
    assert values(made.server.argv, "--log") == ["/d/log"]
    assert values(made.server.argv, "--answers") == ["/dev/null"]


def test_the_simulator_is_told_the_tasks_answers(plan: Any, tmp_path: Path) -> None:
    made = plan()
    ((path, content),) = made.files.items()
    assert values(made.server.argv, "--answers") == [str(path)]
    assert not path.is_relative_to(tmp_path / "run")
    entries = [json.loads(line) for line in content.splitlines()]
    assert all(entry["prompt"] and entry["answer"].startswith("The answer is ") for entry in entries)


def test_of_a_set_that_is_not_here_no_answers_are_known(plan: Any) -> None:
    made = plan(task={"name": "gsm8k"})
    assert (made.files, values(made.server.argv, "--answers")) == ({}, [])


@pytest.mark.parametrize("entry", [entry for entry in REGISTRY.values() if entry.grade], ids=lambda entry: entry.key)
async def test_what_the_simulator_is_told_to_say_is_graded_right(entry: TaskEntry, tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "1,234 and 1?", "answer": "x\\n#### 1,235"}\n')
    settings = TaskSettings(name=entry.key, data_root=tmp_path)
    dataset = await entry.load(LoadRequest(settings=settings, parameters=entry.check(settings), seed=1))
    assert entry.grade is not None
    for record in dataset.records:
        said = SENTENCE.format(reference=record.reference)
        assert entry.grade(said, str(record.reference), record.metadata).verdict == "right", said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sped": 2}, "unrecognized arguments: --sped 2"),
        ({"right": 2}, "argument --right: '2' is not a number from 0 to 1"),
        ({"fault": "explode"}, "--fault explode: 'explode' is not a fault"),
        ({"answers": "/nowhere"}, "--answers /nowhere: No such file"),
    ],
)
def test_bad_engine_args_are_refused_before_anything_starts(plan: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=rf"spec\.server\.template\.spec\.engineArgs: {message}"):
        plan({"engineArgs": arguments})


def test_an_api_key_cannot_be_had_locally(plan: Any) -> None:
    with pytest.raises(BadInputError, match=r"spec\.server\.template\.spec\.apiKeySecretRef"):
        plan({"apiKeySecretRef": {"name": "k"}})
