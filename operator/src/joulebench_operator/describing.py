"""Asks an exporter which devices a pod has."""

import logging
from pathlib import Path
from typing import Final

from joulebench_operator.inquiry import Devices

_LOG: Final = logging.getLogger(__name__)


async def devices(asked: Devices, *, token_file: Path | None) -> tuple[str, ...]:
    """The UUIDs of the pod's devices, sorted; empty if the exporter knows of none or does not answer.

    `token_file`: a service-account token for the exporters' audience.
    """
    # gRPC takes 10 MiB, which an operator without exporters does not need.
    from joulebench_exporter.client import ExporterClient, ExporterError  # noqa: PLC0415

    try:
        async with ExporterClient(asked.exporter, token_file=token_file) as exporter:
            described = await exporter.describe()
    except ExporterError as error:
        _LOG.warning("an exporter did not say who has its devices", extra={"error": error.message})
        return ()
    pod = (asked.namespace, asked.pod)
    return tuple(
        sorted(
            device.uuid
            for device in described.devices
            if any((owner.namespace, owner.pod) == pod for owner in device.owners.containers)
        )
    )
