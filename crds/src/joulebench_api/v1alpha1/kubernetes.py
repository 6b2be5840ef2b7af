"""Pieces of Kubernetes' own types.

Small ones are typed. What is `Open` here (affinity, spread constraints, volumes' own fields, security contexts, DNS) is
large or grows with Kubernetes, and a CRD holds up to six copies of each: it is checked when the pod is made.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.metadata import TemplateMetadata
from joulebench_api.v1alpha1.numbers import Bool, Count, Int64
from joulebench_api.v1alpha1.references import NameRef
from joulebench_api.v1alpha1.rules import at_most_one_of, exactly_one_of
from joulebench_api.v1alpha1.texts import NonEmpty, Quantity, Text

Open = dict[str, Any]
"""An object whose fields are not joulebench's to know."""


@dataclass(frozen=True)
class DeclaredKeys:
    """Annotation of an `Open` object: keys that the schema declares, so that the API server's rules can see them."""

    keys: tuple[str, ...]


Resources = Annotated[dict[str, Quantity], Field(max_length=32)]


class ResourceClaim(ApiModel):
    """A device claim of the pod."""

    name: NonEmpty
    request: NonEmpty | None = None


class ResourceRequirements(ApiModel):
    """What a container asks for and may use at most."""

    requests: Resources | None = None
    limits: Resources | None = None
    claims: Annotated[tuple[ResourceClaim, ...], ListMap(), Field(max_length=16)] | None = None


class KeySelector(ApiModel):
    """One key of a ConfigMap or Secret."""

    name: NonEmpty
    key: NonEmpty
    optional: Bool | None = None


class FieldRef(ApiModel):
    """A field of the pod."""

    api_version: NonEmpty | None = None
    field_path: NonEmpty


class ResourceFieldRef(ApiModel):
    """A resource of the container."""

    container_name: NonEmpty | None = None
    resource: NonEmpty
    divisor: Quantity | None = None


class EnvVarSource(ApiModel):
    """Where a variable's value comes from."""

    rules = (at_most_one_of("configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"),)

    config_map_key_ref: KeySelector | None = None
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    secret_key_ref: KeySelector | None = None


class WholeSource(ApiModel):
    """A whole ConfigMap or Secret."""

    name: NonEmpty
    optional: Bool | None = None


class EnvFromSource(ApiModel):
    """A ConfigMap or Secret whose keys become variables."""

    rules = (exactly_one_of("configMapRef", "secretRef"),)

    prefix: Text | None = None
    config_map_ref: WholeSource | None = None
    secret_ref: WholeSource | None = None


class VolumeMount(ApiModel):
    """Where a volume is seen in a container."""

    name: NonEmpty
    mount_path: NonEmpty
    read_only: Bool | None = None
    sub_path: NonEmpty | None = None
    sub_path_expr: NonEmpty | None = None


class TolerationOperator(StrEnum):
    """How a taint is compared."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint that is tolerated."""

    key: NonEmpty | None = None
    operator: TolerationOperator | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: TaintEffect | None = None
    toleration_seconds: Int64 | None = None


class EnvVar(ApiModel):
    """An environment variable."""

    rules = (at_most_one_of("value", "valueFrom"),)

    name: NonEmpty
    value: Text | None = None
    value_from: EnvVarSource | None = None


Env = Annotated[tuple[EnvVar, ...], ListMap(), Field(max_length=64)]
ImagePullSecrets = Annotated[tuple[NameRef, ...], ListMap(), Field(max_length=16)]
Arguments = Annotated[tuple[Text, ...], Field(max_length=256)]
"""Arguments of a command line, as they are."""
NodeLabels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)]
Opens = Annotated[tuple[Open, ...], Field(max_length=64)]
"""A list of objects whose fields are not joulebench's to know."""


class Placement(ApiModel):
    """Where pods may run."""

    node_selector: NodeLabels | None = None
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=64)] | None = None
    affinity: Open | None = None
    topology_spread_constraints: Opens | None = None
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
    volumes: Annotated[tuple[Volume, ...], ListMap(), Field(max_length=64)] | None = None
    security_context: Open | None = None
    host_aliases: Opens | None = None
    dns_config: Open | None = None
    termination_grace_period_seconds: Count | None = None


class ContainerSecurityContext(ApiModel):
    """The part of a container's security context that may be chosen."""

    run_as_user: Count | None = None
    run_as_group: Count | None = None
    read_only_root_filesystem: Bool | None = None


class PodOverlayContainer(ApiModel):
    """What may be added to a pod's main container; in a runner's pod, to those that begin it as well."""

    env: Env | None = None
    env_from: Annotated[tuple[EnvFromSource, ...], Field(max_length=32)] | None = None
    volume_mounts: Annotated[tuple[VolumeMount, ...], Field(max_length=64)] | None = None
    security_context: ContainerSecurityContext | None = None


class PodOverlay(ApiModel):
    """Additions to a pod that joulebench makes: a closed list, so that nothing unsafe can be added unseen."""

    metadata: TemplateMetadata | None = None
    spec: PodOverlaySpec | None = None
    container: PodOverlayContainer | None = None
