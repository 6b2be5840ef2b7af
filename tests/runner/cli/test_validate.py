"""`joulebench validate`: what it prints, and what it tells the shell."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.loaded import HEAVY, printed_and_loaded

from joulebench_runner.cli.validate import validate

GOOD = """\
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: first}
spec:
  server: {template: {spec: {preset: smollm2-135m-instruct}}}
  task: {name: everyday}
"""
BAD = GOOD.replace("name: everyday", "nmae: everyday, limit: 0")
DOUBTFUL = GOOD.replace("everyday", "everydaj")
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"

SHOW_HELP = """
from joulebench_runner.cli.validate import validate
validate(["--help"], standalone_mode=False)
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, stdin: str | None = None, **files: str) -> Result:
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)
    return CliRunner().invoke(validate, arguments, input=stdin)


def test_a_good_file_is_told_in_one_line() -> None:
    done = call("a.yaml", a=GOOD)

    assert (done.exit_code, done.output) == (0, "1 file with 1 BenchmarkRun: nothing is wrong\n")


def test_every_error_has_its_place_its_path_its_value_and_the_way_out() -> None:
    done = call("a.yaml", a=BAD)

    assert done.exit_code == 2
    assert done.output.splitlines() == [
        "a.yaml:6:10: error: spec.task.nmae: unknown field",
        "    value: everyday",
        "    did you mean 'name'?",
        "a.yaml:6:33: error: spec.task.limit: must be at least 1, found 0",
        "1 file with 1 BenchmarkRun: 2 errors",
    ]


def test_warnings_fail_only_if_they_shall() -> None:
    assert call("a.yaml", a=DOUBTFUL).exit_code == 0
    strict = call("--strict", "a.yaml", a=DOUBTFUL)

    assert strict.exit_code == 2
    assert "a.yaml:6:16: warning: spec.task.name: 'everydaj' is no task that is known here" in strict.output
    assert "did you mean 'everyday'?" in strict.output


def test_notes_never_fail() -> None:
    done = call("--strict", "a.yaml", a=f"{GOOD}---\n{CONFIG_MAP}")

    assert done.exit_code == 0
    assert "a.yaml:8:1: note: left out: ConfigMap of v1 is not joulebench's" in done.output


def test_the_json_form_holds_the_same_for_programs() -> None:
    done = call("--json", "a.yaml", a=BAD)
    report = json.loads(done.output)

    assert done.exit_code == 2
    assert (report["valid"], report["files"], report["documents"]) == (False, 1, 1)
    assert report["counts"] == {"errors": 2, "warnings": 0, "notes": 0}
    assert report["problems"][0] == {
        "severity": "error",
        "file": "a.yaml",
        "line": 6,
        "column": 10,
        "path": "spec.task.nmae",
        "value": "everyday",
        "message": "unknown field",
        "remedy": "did you mean 'name'?",
    }


def test_standard_input_is_read_for_a_dash() -> None:
    done = call("-", stdin=BAD)

    assert done.exit_code == 2
    assert "<stdin>:6:33: error: spec.task.limit" in done.output


def test_folders_are_searched_and_what_is_hidden_or_a_chart_s_template_is_left_alone() -> None:
    for name, text in {
        "f/a.yaml": GOOD,
        "f/deep/b.yml": BAD,
        "f/values.yaml": "replicas: 1\n",
        "f/notes.txt": "not: [yaml",
        "f/.git/c.yaml": "not: [yaml",
        "f/chart/Chart.yaml": "apiVersion: v2\nname: x\n",
        "f/chart/templates/d.yaml": "{{ not yaml }}: [",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    done = call("f")

    assert done.exit_code == 2
    assert "f/deep/b.yml:6:33: error" in done.output
    assert done.output.splitlines()[-1] == "4 files with 2 BenchmarkRuns: 2 errors, 2 notes"


def test_a_file_that_is_named_twice_is_read_once() -> None:
    assert "1 file with" in call("a.yaml", "a.yaml", a=GOOD).output


def test_references_are_followed_across_files() -> None:
    run = GOOD.replace("{template: {spec: {preset: smollm2-135m-instruct}}}", "{modelServerRef: {name: big}}")
    head = "apiVersion: joulebench.dev/v1alpha1\nkind: ModelServer\n"
    server = head + "metadata: {name: big}\nspec: {engine: LlamaCpp, model: a.gguf}\n"

    assert call("--strict", "a.yaml", "b.yaml", a=run, b=server).exit_code == 0
    assert call("--strict", "a.yaml").exit_code == 2


def test_what_cannot_be_read_is_told_beside_the_rest() -> None:
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00a")
    done = call("none.yaml", "binary.yaml", "a.yaml", a=BAD)

    assert done.exit_code == 2
    assert "none.yaml: error: cannot be read: No such file or directory" in done.output
    assert "binary.yaml: error: cannot be read: it is not text in UTF-8" in done.output
    assert "a.yaml:6:33: error" in done.output


def test_files_without_anything_of_ours_fail_so_that_a_wrong_path_is_noticed() -> None:
    done = call("a.yaml", a=CONFIG_MAP)

    assert done.exit_code == 2
    assert "a.yaml: error: holds nothing of joulebench" in done.output


def test_a_password_in_an_address_is_not_printed() -> None:
    run = GOOD.replace(
        "{template: {spec: {preset: smollm2-135m-instruct}}}", "{external: {url: 'http://me:geheim@x/v1', model: m}}"
    )
    plain, as_json = call("a.yaml", a=run), call("--json", "a.yaml", a=run)

    assert (plain.exit_code, as_json.exit_code) == (2, 2)
    assert "geheim" not in plain.output + as_json.output


def test_help_teaches_by_examples_and_imports_nothing_heavy() -> None:
    printed, loaded = printed_and_loaded(SHOW_HELP)

    assert "joulebench validate bench.yaml" in printed
    assert "--strict" in printed
    assert not loaded & HEAVY


def test_checking_imports_neither_the_runner_s_tasks_nor_inspect() -> None:
    Path("a.yaml").write_text(GOOD)
    code = "from joulebench_runner.cli.validate import validate; validate(['a.yaml'], standalone_mode=False)"
    _, loaded = printed_and_loaded(code)

    assert not loaded & {"inspect_ai", "openai", "datasets", "pyarrow", "joulebench_runner.tasks.registry"}
