"""Where an engine finds its model in the pod, and what the container needs for that."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.engines.presets import PRESETS
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_api.v1alpha1.references import ClaimRef, SecretKeyRef
from joulebench_api.v1alpha1.storage import ModelSource, ObjectStore
from joulebench_operator.objects import Object
from joulebench_operator.servers.refusals import RefusedSpecError

MODEL_FOLDER: Final = "/model"
"""Where a claim or an image with a model is mounted, read-only."""
MODEL_VOLUME: Final = "model"
PRESET_FOLDER: Final = "/models"
"""Where our image of llama.cpp has the presets' files."""

_GGUF: Final = ".gguf"
_STREAMED: Final = ("s3", "gs", "az")
"""Stores that vLLM's image reads without a copy on a disk."""


@dataclass(frozen=True)
class ModelFiles:
    """Where the model is, and how it gets there."""

    path: str
    """What the engine is told: a name on a hub, a path, or an address."""
    env: tuple[Object, ...] = ()
    env_from: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    fetched: bool = field(default=False, kw_only=True)
    """Whether it comes from a hub, so that a cache is of use."""


def model_files(
    spec: ModelServerSpec, engine: Engine, *, namespace: str, configuration: OperatorConfiguration
) -> ModelFiles:
    """Where `engine` finds the model. Raises RefusedSpecError for a source that it cannot read."""
    if engine is Engine.SIMULATOR:
        return ModelFiles(path="")
    if engine is Engine.LLAMA_CPP:
        return _gguf(spec)
    found = _of_source(spec.source)
    if found is not None:
        return found
    if (spec.model or "").startswith("/"):
        return ModelFiles(spec.model or "", env=_OFFLINE)
    endpoint = hub_endpoint(spec, namespace=namespace, configuration=configuration)
    return ModelFiles(spec.model or "", env=tuple(_hub_env(spec, endpoint)), fetched=True)


def _of_source(source: ModelSource | None) -> ModelFiles | None:
    """None: the model comes from the hub, or is in the image."""
    if source is None:
        return None
    if source.claim is not None:
        volume, mount = _claim(source.claim, path=source.claim.path)
        return ModelFiles(MODEL_FOLDER, env=_OFFLINE, volumes=(volume,), mounts=(mount,))
    if source.image is not None:
        return ModelFiles(MODEL_FOLDER, env=_OFFLINE, volumes=(_image(source),), mounts=(_MOUNT,))
    if source.config_map is not None:
        raise RefusedSpecError(
            "spec.source.configMap: a ConfigMap is too small for a model", remedy="use hub, claim, objectStore or image"
        )
    return None if source.object_store is None else _streamed(source.object_store)


def hub_endpoint(spec: ModelServerSpec, *, namespace: str, configuration: OperatorConfiguration) -> str | None:
    """The hub's address: the server's, the namespace's, or the fleet's; None: the engine's own."""
    if spec.source is not None and spec.source.hub is not None and spec.source.hub.endpoint is not None:
        return spec.source.hub.endpoint
    return configured_hub(namespace=namespace, configuration=configuration)


def configured_hub(*, namespace: str, configuration: OperatorConfiguration) -> str | None:
    """The hub's address that the administrator chose for a namespace, or for all."""
    levels = (configuration.namespaces.get(namespace), configuration.defaults)
    hubs = (level.hub for level in levels if level is not None and level.hub is not None)
    return next((hub.endpoint for hub in hubs if hub.endpoint is not None), None)


def variable(name: str, value: str) -> Object:
    """An environment variable."""
    return {"name": name, "value": value}


def secret_variable(name: str, reference: SecretKeyRef) -> Object:
    """An environment variable whose value the kubelet takes from a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}


def sub_path(path: str | None, *, field: str) -> str | None:
    """A folder of a volume as a mount names it. Raises RefusedSpecError for one that leaves the volume."""
    parts = PurePosixPath(path or "").parts
    if ".." in parts:
        raise RefusedSpecError(f"{field}: '{path}' leads out of the volume", remedy="remove '..'")
    return "/".join(part for part in parts if part != "/") or None


_OFFLINE: Final = (variable("HF_HUB_OFFLINE", "1"),)
_MOUNT: Final = {"name": MODEL_VOLUME, "mountPath": MODEL_FOLDER, "readOnly": True}


def _hub_env(spec: ModelServerSpec, endpoint: str | None) -> Iterator[Object]:
    if endpoint is not None:
        yield variable("HF_ENDPOINT", endpoint)
    hub = None if spec.source is None else spec.source.hub
    token = spec.hugging_face_token_secret_ref or (None if hub is None else hub.token_secret_ref)
    if token is not None:
        yield secret_variable("HF_TOKEN", token)


def _claim(claim: ClaimRef, *, path: str | None) -> tuple[Object, Object]:
    volume = {"name": MODEL_VOLUME, "persistentVolumeClaim": {"claimName": claim.name}}
    folder = sub_path(path, field="spec.source.claim.path")
    return volume, {**_MOUNT, **({} if folder is None else {"subPath": folder})}


def _image(source: ModelSource) -> Object:
    reference = "" if source.image is None else source.image.reference
    return {"name": MODEL_VOLUME, "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}


def _streamed(store: ObjectStore) -> ModelFiles:
    if store.url.partition(":")[0] not in _STREAMED:
        raise RefusedSpecError(
            f"spec.source.objectStore.url: {store.url} is of a kind that vLLM cannot read",
            remedy=f"use one of {', '.join(f'{scheme}://' for scheme in _STREAMED)}",
        )
    credentials = store.credentials_secret_ref
    env_from = () if credentials is None else ({"secretRef": {"name": credentials.name}},)
    return ModelFiles(store.url, env=tuple(_store_env(store)), env_from=env_from)


def _store_env(store: ObjectStore) -> Iterator[Object]:
    if store.endpoint is not None:
        yield variable("AWS_ENDPOINT_URL", store.endpoint)
        # Stores of one's own rarely have a host name for each bucket.
        yield variable("RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING", "0")
    if store.region is not None:
        yield from (variable("AWS_REGION", store.region), variable("AWS_DEFAULT_REGION", store.region))


def _gguf(spec: ModelServerSpec) -> ModelFiles:
    """llama.cpp's server is given one file."""
    source, model = spec.source, spec.model or ""
    if spec.preset is not None:
        return ModelFiles(f"{PRESET_FOLDER}/{PRESETS[spec.preset].file}")
    if source is not None and source.claim is not None:
        return _gguf_on_claim(source.claim, model)
    if source is not None and source.image is not None and model.endswith(_GGUF):
        return ModelFiles(f"{MODEL_FOLDER}/{model.lstrip('/')}", volumes=(_image(source),), mounts=(_MOUNT,))
    if source is None and model.startswith("/"):
        return ModelFiles(model)
    raise RefusedSpecError(
        f"spec.model: LlamaCpp loads one {_GGUF} file and fetches none; '{model}' does not say where it is",
        remedy=f"use a preset, source.claim with the file's path, or source.image with the {_GGUF} file as model",
    )


def _gguf_on_claim(claim: ClaimRef, model: str) -> ModelFiles:
    path = PurePosixPath(claim.path or "")
    folder, file = (path.parent, path.name) if path.suffix == _GGUF else (path, model.lstrip("/"))
    if not file.endswith(_GGUF):
        raise RefusedSpecError(
            f"spec.source.claim.path: '{claim.path or ''}' is no {_GGUF} file", remedy=f"name the {_GGUF} file"
        )
    volume, mount = _claim(claim, path=str(folder))
    return ModelFiles(f"{MODEL_FOLDER}/{file}", volumes=(volume,), mounts=(mount,))
