"""What the administrator's policy lets users ask for."""

import re
from collections.abc import Iterable, Iterator

from joulebench_api.conditions import Reason
from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.names import joined
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.decision import Settings
from joulebench_operator.servers.refusals import RefusedSpecError


def check_allowed(
    image: str,
    *,
    written: ModelServerSpec,
    resolved: ModelServerSpec,
    configuration: OperatorConfiguration,
    settings: Settings,
) -> None:
    """Raise RefusedSpecError, NotAllowed, for an image or a service account that users may not have.

    Images that the administrator has named (in the configuration, or for the operator) need no leave.
    """
    trusted = {*_configured_images(configuration), *settings.images.values()}
    used = (("spec.image", image), *_mounted_images(resolved))
    check_images(((field, used_image) for field, used_image in used if used_image not in trusted), configuration)
    check_service_account(written.service_account_name, configuration, field="spec.serviceAccountName")


def check_images(images: Iterable[tuple[str, str]], configuration: OperatorConfiguration) -> None:
    """Raise RefusedSpecError for the first (field, image) that no pattern of `policy.images` lets pass."""
    patterns = configuration.policy.images
    for field, image in images:
        if patterns is not None and not any(_matches(image, pattern) for pattern in patterns):
            raise RefusedSpecError(
                f"{field}: the administrator does not allow the image {image}",
                remedy=f"use one of {joined(patterns, word='or')}" if patterns else "leave it out",
                reason=Reason.NOT_ALLOWED,
            )


def check_service_account(name: str | None, configuration: OperatorConfiguration, *, field: str) -> None:
    """Raise RefusedSpecError for a service account that the policy does not name."""
    allowed = configuration.policy.service_accounts
    if name is not None and name not in allowed:
        raise RefusedSpecError(
            f"{field}: the administrator does not allow the service account {name}",
            remedy=f"use {joined(allowed, word='or')}, or leave it out" if allowed else "leave it out",
            reason=Reason.NOT_ALLOWED,
        )


def _configured_images(configuration: OperatorConfiguration) -> Iterator[str]:
    named = (*configuration.engines.values(), *configuration.presets.values())
    yield from (image for entry in named if (image := getattr(entry, "image", None)) is not None)


def _mounted_images(spec: ModelServerSpec) -> Iterator[tuple[str, str]]:
    """Images that are mounted as volumes."""
    if spec.source is not None and spec.source.image is not None:
        yield "spec.source.image.reference", spec.source.image.reference
    overlay = None if spec.pod_template is None else spec.pod_template.spec
    for index, volume in enumerate((overlay and overlay.volumes) or ()):
        if volume.image is not None:
            yield f"spec.podTemplate.spec.volumes[{index}].image", str(volume.image.get("reference", ""))


def _matches(image: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), image) is not None
