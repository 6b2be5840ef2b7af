"""When a server with `activation: OnDemand` is awake."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from joulebench_api.v1alpha1.model_server import Activation, ModelServerSpec
from joulebench_operator.objects import Object
from joulebench_operator.servers.pods_seen import instant

DEFAULT_IDLE: Final = timedelta(minutes=10)
_WRITE_EVERY: Final = timedelta(minutes=1)
"""How often `status.lastUsedTime` is written at most."""


@dataclass(frozen=True)
class Waking:
    """Whether a server is to be awake, and until when."""

    awake: bool
    last_used: str | None = None
    """`status.lastUsedTime`; None for servers that are always awake, and for those that were never needed."""
    again_after_seconds: float | None = None


def waking(server: Object, spec: ModelServerSpec, *, needed: bool, now: datetime) -> Waking:
    """What holds now. A server that nobody needs any more stays awake for `idleTimeout` since its last use."""
    if spec.activation is Activation.ALWAYS:
        return Waking(awake=True)
    text = (server.get("status") or {}).get("lastUsedTime")
    last = instant(text)
    if needed:
        used = text if last is not None and now - last < _WRITE_EVERY else stamp(now)
        return Waking(awake=True, last_used=used, again_after_seconds=_WRITE_EVERY.total_seconds())
    if last is None:
        return Waking(awake=False)
    idle = DEFAULT_IDLE if spec.idle_timeout is None else timedelta(milliseconds=spec.idle_timeout.milliseconds)
    left = (last + idle - now).total_seconds()
    return Waking(awake=left > 0, last_used=text, again_after_seconds=left if left > 0 else None)


def stamp(time: datetime) -> str:
    """A time as the API server writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
