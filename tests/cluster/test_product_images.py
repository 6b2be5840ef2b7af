"""The images that we publish: who runs in them, what is in them, and that a locked-down pod can run them."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import figures
from tests.cluster.cluster import Cluster
from tests.cluster.images import products
from tests.cluster.images.products import Product, product
from tests.cluster.images.reading import Contents, read
from tests.cluster.objects import Object, pod
from tests.cluster.session import Namespace
from tools.images import IMAGES, version

from joulebench_api.engines import llamacpp, simulator
from joulebench_api.engines.command import EngineCommand
from joulebench_api.engines.presets import find_preset
from joulebench_api.v1alpha1.model_server import ModelServerSpec

MIB = 2**20
PORT = 8000
NOBODY = "65532:65532"
USERS = {"exporter": "0:0", "simulator": NOBODY, "runner": NOBODY, "operator": NOBODY, "llamacpp": NOBODY}
PROGRAMS = {
    "exporter": "joulebench-exporter",
    "simulator": "joulebench-simulator",
    "runner": "joulebench",
    "operator": "joulebench-operator",
    "llamacpp": "llama-server",
}
SEARCHED = ("PYTHONPATH", "LD_LIBRARY_PATH")
LOCKED_DOWN = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
pytestmark = pytest.mark.usefixtures("cluster")
every_image = pytest.mark.parametrize("name", IMAGES)


@cache
def contents(name: str) -> Contents:
    """What is in the image, built if need be."""
    return read(product(name).archive)


def environment(name: str) -> Mapping[str, str]:
    """The image's variables."""
    return dict(line.split("=", 1) for line in contents(name).config["Env"])


Load = Callable[[str], Product]


@pytest.fixture(scope="session")
def load(cluster: Cluster) -> Load:
    """Puts an image on the cluster, once."""

    @cache
    def loaded(name: str) -> Product:
        made = product(name)
        cluster.load_image(made.archive)
        return made

    return loaded


def locked_pod(made: Product, *arguments: str, **more: Any) -> Object:
    """A pod with the image's own user and program, and no rights at all; it can write to /tmp alone."""
    mounts = [{"name": "temporary", "mountPath": "/tmp"}]
    container = {"image": made.name, "securityContext": LOCKED_DOWN, "volumeMounts": mounts, **more}
    return pod("locked", *arguments, container_more=container, volumes=[{"name": "temporary", "emptyDir": {}}])


@every_image
def test_the_program_runs_as_the_right_user(name: str) -> None:
    assert contents(name).config["User"] == USERS[name]
    assert contents(name).config["Entrypoint"] == [PROGRAMS[name]]


@every_image
def test_labels_say_what_it_is(name: str) -> None:
    labels = contents(name).config["Labels"]
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.title"].startswith("joulebench ")
    assert labels[f"{prefix}.version"] == version()
    assert labels[f"{prefix}.revision"] == products.REVISION
    assert "Apache-2.0" in labels[f"{prefix}.licenses"]


@every_image
def test_nothing_of_the_build_is_in_its_variables(name: str) -> None:
    assert set(environment(name)) <= {"PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", *SEARCHED}


@every_image
def test_its_layers_above_the_base_are_within_the_bar(name: str) -> None:
    mib = sum(entry.size for entry in contents(name).above_base) / MIB
    bar = IMAGES[name].most_mib
    figures.FIGURES[f"image {name} above its base (MiB; bar {bar})"] = mib
    assert mib <= bar


@every_image
def test_everything_is_in_our_folders_and_can_be_changed_by_root_alone(name: str) -> None:
    ours = [folder.strip("/") for folder in IMAGES[name].folders]
    for entry in contents(name).above_base:
        path = entry.name.strip("/")
        assert any(path == folder or path.startswith(f"{folder}/") or folder.startswith(path) for folder in ours), path
        assert (entry.uid, entry.gid) == (0, 0), path
        assert entry.issym() or not entry.mode & 0o6022, path


@every_image
def test_no_tests_compilers_caches_or_installers_are_in_it(name: str) -> None:
    names = {part for entry in contents(name).above_base for part in entry.name.split("/")}
    assert not names & {"tests", ".cache", "pip", "uv", "hatchling", "gcc", "cc", "pytest"}


def test_the_same_files_give_the_same_layers(tmp_path: Path) -> None:
    products.build(tmp_path / "again.tar", IMAGES["exporter"], tag="localhost/again:1")

    assert read(tmp_path / "again.tar").layer_digests == contents("exporter").layer_digests


@every_image
def test_a_locked_down_pod_runs_it(load: Load, name: str, namespace: Namespace) -> None:
    word, answer = ("--help", "GGUF") if name == "llamacpp" else ("--version", version())

    assert answer in namespace.said(locked_pod(load(name), word))


IMPORT_ALL = """
import importlib, pkgutil, sys
import joulebench_runner
for found in pkgutil.walk_packages(joulebench_runner.__path__, "joulebench_runner."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
import datasets, inspect_ai, openai, plotly.graph_objects, pyarrow.dataset, s3fs
print("all there")
"""


def test_the_runner_has_everything_that_it_imports(load: Load, namespace: Namespace) -> None:
    command = {"command": ["python", "-c", IMPORT_ALL]}
    assert namespace.said(locked_pod(load("runner"), **command)).endswith("all there")


def served(engine: EngineCommand, namespace: Namespace, made: Product, **more: Any) -> str:
    """Run an engine's command in a locked-down pod until it is healthy; its URL."""
    probe = {"httpGet": {"path": engine.health_path, "port": engine.port}, "periodSeconds": 1}
    namespace.apply(locked_pod(made, command=list(engine.argv), readinessProbe=probe, **more))
    namespace.ready("locked")
    return f"http://{namespace.get('pod', 'locked')['status']['podIP']}:{engine.port}"


def demo() -> EngineCommand:
    """The engine's command for the image's own model."""
    preset = find_preset("smollm2-135m-instruct")
    spec = ModelServerSpec.model_validate({"preset": preset.name, "engineArgs": {"threads": 1, "warmup": False}})
    return llamacpp.command(spec, model_path=f"/models/{preset.file}", host="0.0.0.0", port=PORT)


def test_the_demo_models_server_starts_by_the_engines_command(load: Load, namespace: Namespace) -> None:
    url = served(demo(), namespace, load("llamacpp"))

    listed = json.loads(namespace.fetched(f"{url}/v1/models") or "{}")
    assert demo().served_model_name in {model["id"] for model in listed["data"]}


def test_the_demo_models_server_asks_for_its_key(load: Load, namespace: Namespace) -> None:
    key = [{"name": llamacpp.KEY_VARIABLE, "value": "secret"}]

    url = served(demo(), namespace, load("llamacpp"), env=key)

    assert namespace.fetched(f"{url}/health")
    assert namespace.fetched(f"{url}/v1/models") is None


def test_the_simulator_starts_by_the_engines_command(load: Load, namespace: Namespace) -> None:
    spec = ModelServerSpec.model_validate({"engine": "Simulator", "model": "any-name"})
    engine = simulator.command(spec, model_path="", host="0.0.0.0", port=PORT)

    url = served(engine, namespace, load("simulator"))

    assert '"any-name"' in (namespace.fetched(f"{url}/v1/models") or "")
