"""The driver's side of the control socket, as the driver needs it; bound to the meter's client in one place."""

from pathlib import Path
from typing import Protocol

from joulebench_api.contracts.meter import Action, Begin, DriverDone, Finish, MeterStatus, Plan, PlanReply, StageEvent
from joulebench_runner.meter.control_client import ControlClient, MeterGoneError

__all__ = ["Control", "MeterGoneError", "connect"]


class Control(Protocol):
    """Messages to the meter. All raise MeterGoneError when nobody answers, RunnerError when it refuses."""

    async def plan(self, plan: Plan) -> PlanReply:
        """Say what will be asked; hear what of it is done."""

    async def stage(self, event: StageEvent) -> None:
        """Enter or leave a stage."""

    async def begin(self, begin: Begin) -> None:
        """A question is about to be asked."""

    async def action(self, action: Action) -> None:
        """A step of an agent has ended."""

    async def finish(self, finish: Finish) -> None:
        """A question has its answer. Returns once that is on disk."""

    async def driver_done(self, done: DriverDone) -> None:
        """The driver ends by itself."""

    async def status(self) -> MeterStatus:
        """How things stand."""

    async def ready(self) -> None:
        """Wait until the model servers are ready."""

    async def attend(self) -> str:
        """Be there until this is cancelled. Returns, with the reason, when the driver is to end."""

    async def close(self) -> None:
        """Close the connections."""


def connect(socket: Path) -> Control:
    """The meter behind a control socket."""
    return ControlClient(socket)
