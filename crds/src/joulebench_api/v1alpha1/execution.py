"""How a run is carried out: warm-up, time limits, error limit, and the runner's own pod."""

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel, refusal
from joulebench_api.v1alpha1.kubernetes import Env, ImagePullSecrets, Placement, PodOverlay, ResourceRequirements
from joulebench_api.v1alpha1.numbers import Count
from joulebench_api.v1alpha1.references import ConfigMapKeyRef
from joulebench_api.v1alpha1.rules import Cel, Violation
from joulebench_api.v1alpha1.texts import PERCENT_PATTERN, Duration, NonEmpty, Percent, PositiveDuration


def _count_or_percent(value: Any) -> int | Percent:
    if isinstance(value, str):
        return Percent.parse(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    message = f"{shown(value)} is neither a number of questions nor a percentage"
    raise refusal(Violation(path=(), message=message, remedy='write 10 or "5%"'))


ErrorLimit = Annotated[
    int | Percent,
    PlainValidator(_count_or_percent),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": PERCENT_PATTERN,
            "maxLength": 8,
            "x-kubernetes-validations": [
                Cel("type(self) == string || self >= 0", "must not be negative").as_schema(),
            ],
        }
    ),
]


class Warmup(ApiModel):
    """Questions before the measured ones; they are not measured and not scored."""

    queries: Count = 3


class Timeouts(ApiModel):
    """How long each part of a run may take."""

    queue: PositiveDuration | None = None
    """From the run's creation until it has its quota."""
    server_ready: PositiveDuration = Duration("1h")
    run: PositiveDuration = Duration("24h")
    """From the first measured question to the end."""
    query: PositiveDuration | None = None
    """One question, all its turns included."""


class Runner(ApiModel):
    """The pod that asks and measures."""

    image: NonEmpty | None = None
    image_pull_secrets: ImagePullSecrets | None = None
    env: Env = ()
    resources: ResourceRequirements | None = None
    service_account_name: NonEmpty | None = None
    ca_bundle_config_map_ref: ConfigMapKeyRef | None = None
    placement: Placement | None = None
    pod_template: PodOverlay | None = None
