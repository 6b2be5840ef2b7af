"""Pieces of Kubernetes' own types. What is `Open` here is checked by Kubernetes, not by joulebench."""

from typing import Annotated, Any

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.metadata import TemplateMetadata
from joulebench_api.v1alpha1.numbers import Bool, Count
from joulebench_api.v1alpha1.references import NameRef
from joulebench_api.v1alpha1.rules import at_most_one_of, exactly_one_of
from joulebench_api.v1alpha1.texts import NonEmpty

Open = dict[str, Any]
"""An object whose fields are not joulebench's to know."""


class EnvVar(ApiModel):
    """An environment variable."""

    rules = (at_most_one_of("value", "valueFrom"),)

    name: NonEmpty
    value: str | None = None
    value_from: Open | None = None


Env = Annotated[tuple[EnvVar, ...], ListMap()]
ImagePullSecrets = Annotated[tuple[NameRef, ...], ListMap()]


class Placement(ApiModel):
    """Where pods may run."""

    node_selector: dict[str, str] | None = None
    tolerations: tuple[Open, ...] | None = None
    affinity: Open | None = None
    topology_spread_constraints: tuple[Open, ...] | None = None
    runtime_class_name: NonEmpty | None = None
    priority_class_name: NonEmpty | None = None
    scheduler_name: NonEmpty | None = None


class Queue(ApiModel):
    """A Kueue queue."""

    name: NonEmpty
    priority_class_name: NonEmpty | None = None


class Volume(ApiModel):
    """A volume of one of six kinds; host paths are the administrator's."""

    rules = (exactly_one_of("configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi", "image"),)

    name: NonEmpty
    config_map: Open | None = None
    secret: Open | None = None
    empty_dir: Open | None = None
    persistent_volume_claim: Open | None = None
    csi: Open | None = None
    image: Open | None = None


class PodOverlaySpec(ApiModel):
    """What may be added to a pod."""

    image_pull_secrets: ImagePullSecrets | None = None
    volumes: Annotated[tuple[Volume, ...], ListMap()] | None = None
    security_context: Open | None = None
    host_aliases: tuple[Open, ...] | None = None
    dns_config: Open | None = None
    termination_grace_period_seconds: Count | None = None


class ContainerSecurityContext(ApiModel):
    """The part of a container's security context that may be chosen."""

    run_as_user: Count | None = None
    run_as_group: Count | None = None
    read_only_root_filesystem: Bool | None = None


class PodOverlayContainer(ApiModel):
    """What may be added to a pod's main container."""

    env: Env | None = None
    env_from: tuple[Open, ...] | None = None
    volume_mounts: tuple[Open, ...] | None = None
    security_context: ContainerSecurityContext | None = None


class PodOverlay(ApiModel):
    """Additions to a pod that joulebench makes: a closed list, so that nothing unsafe can be added unseen."""

    metadata: TemplateMetadata | None = None
    spec: PodOverlaySpec | None = None
    container: PodOverlayContainer | None = None
