"""Ten realistic servers, and everything that is made of each: `golden/*.yaml`, the server first, its objects after it.

They serve as documentation too. After a change that is meant: JOULEBENCH_REWRITE_GOLDEN=1 pytest tests/operator/servers
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.operator.servers.builders import SETTINGS

from joulebench_api.checking.names_used import check_names
from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.loading import load_all
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.objects import Object
from joulebench_operator.servers.children import children
from joulebench_operator.servers.plan import server_plan

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.yaml"))
SEPARATOR = "---\n"

CONFIGURATION = OperatorConfiguration.model_validate(
    {
        "accelerators": {
            "h100-sxm": {
                "resourceName": "nvidia.com/gpu",
                "placement": {
                    "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                    "runtimeClassName": "nvidia",
                },
                "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
                "podTemplate": {
                    "spec": {"volumes": [{"name": "infiniband", "hostPath": {"path": "/dev/infiniband"}}]},
                    "container": {
                        "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
                        "volumeMounts": [{"name": "infiniband", "mountPath": "/dev/infiniband"}],
                    },
                },
            }
        },
        "policy": {"serviceAccounts": ["models"]},
    }
)


def made(item: Object) -> list[Object]:
    """The objects that are made of a server."""
    spec = ModelServerSpec.model_validate(item["spec"])
    metadata = item["metadata"]
    plan = server_plan(metadata["name"], metadata["namespace"], spec, configuration=CONFIGURATION, settings=SETTINGS)
    return [child.body for child in children(plan, replicas=spec.replicas)]


def text_of(bodies: list[Object]) -> str:
    """Documents of one file; by way of JSON, so that nothing is shared and no anchors are written."""
    dumped: str = yaml.safe_dump_all(json.loads(json.dumps(bodies)), sort_keys=False, width=160, allow_unicode=True)
    return dumped


def unknown_fields(model: str, value: Any, path: str) -> Iterator[str]:
    """Fields that Kubernetes' own types (those of its client) do not have; `model` as that client names types."""
    entry = re.fullmatch(r"(?:List\[(.*)\])|(?:Dict\[str, (.*)\])", model)
    if entry is not None:
        pairs = enumerate(value) if entry[1] else value.items()
        for key, inner in pairs:
            yield from unknown_fields(entry[1] or entry[2], inner, f"{path}[{key}]")
    elif hasattr(client, model):
        types = getattr(client, model)
        fields = {name: types.openapi_types[attribute] for attribute, name in types.attribute_map.items()}
        for key, inner in value.items():
            if key in fields:
                yield from unknown_fields(fields[key], inner, f"{path}.{key}")
            else:
                yield f"{path}.{key}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(path: Path) -> None:
    (item,) = yaml.safe_load_all(path.read_text().split(SEPARATOR)[0])
    for body in made(item):
        kind = str(body["kind"])
        assert list(unknown_fields(f"V1{kind}", body, kind)) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    spec = {"spec": {"template": {"spec": {"containers": [{"name": "a", "comand": []}]}}}}
    assert list(unknown_fields("V1Deployment", spec, "it")) == ["it.spec.template.spec.containers[0].comand"]


def test_there_are_ten() -> None:
    assert len(FILES) == 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_server_becomes_these_objects(path: Path) -> None:
    written, *expected = path.read_text().split(SEPARATOR, 1)
    (item,) = yaml.safe_load_all(written)
    bodies = made(item)
    if os.environ.get("JOULEBENCH_REWRITE_GOLDEN"):
        path.write_text(f"{written}{SEPARATOR}{text_of(bodies)}")
        return
    assert expected, f"{path.name} holds no objects yet; see above how to write them"
    found: list[Any] = list(yaml.safe_load_all(expected[0]))
    assert bodies == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_server_is_one_that_the_api_server_takes(path: Path) -> None:
    file = load_all(path.read_text().split(SEPARATOR)[0], source=path.name)
    assert file.problems == []
    assert list(check_names(file.documents)) == []
