"""What the administrator allows, asked of what the user wrote; servers that are made are looked at by their plans."""

from collections.abc import Iterator

from joulebench_api.conditions import Reason
from joulebench_api.configuration import ExternalEndpoints, OperatorConfiguration
from joulebench_api.parties import parties
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_operator.decision import Settings
from joulebench_operator.runs.refusal import RefusedRunError
from joulebench_operator.servers.allowed import check_images, check_service_account


def check(spec: BenchmarkRunSpec, *, configuration: OperatorConfiguration, settings: Settings) -> None:
    """Raise RefusedSpecError or RefusedRunError for the first thing that is not allowed."""
    ours = set(settings.images.values())
    check_images(((field, image) for field, image in _images(spec) if image not in ours), configuration)
    check_service_account(spec.runner.service_account_name, configuration, field="spec.runner.serviceAccountName")
    if configuration.policy.external_endpoints is ExternalEndpoints.DENY:
        _check_no_external(spec)


def _check_no_external(spec: BenchmarkRunSpec) -> None:
    for party in parties(spec):
        if party.source.external is not None:
            raise RefusedRunError(
                f"{party.field}.external: the administrator allows no servers that others run",
                remedy="use modelServerRef or template",
                reason=Reason.NOT_ALLOWED,
            )


def _images(spec: BenchmarkRunSpec) -> Iterator[tuple[str, str]]:
    if spec.runner.image is not None:
        yield "spec.runner.image", spec.runner.image
    if spec.sandbox is not None and spec.sandbox.image is not None:
        yield "spec.sandbox.image", spec.sandbox.image
    for index, tool in enumerate(() if spec.agent is None else spec.agent.tools):
        if tool.mcp is not None and tool.mcp.image is not None:
            yield f"spec.agent.tools[{index}].mcp.image", tool.mcp.image
    overlay = None if spec.runner.pod_template is None else spec.runner.pod_template.spec
    for index, volume in enumerate((overlay and overlay.volumes) or ()):
        if volume.image is not None:
            yield f"spec.runner.podTemplate.spec.volumes[{index}].image", str(volume.image.get("reference", ""))
