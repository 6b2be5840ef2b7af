"""Whether joules can be measured on the devices that serve a run."""

from dataclasses import dataclass

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.energy import EnergyPolicy
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.decision import Context, Wanted
from joulebench_operator.exporters import exporters
from joulebench_operator.runs.assignment import is_measured
from joulebench_operator.runs.located import Located
from joulebench_operator.runs.resolution import ResolvedRun


@dataclass(frozen=True)
class Energy:
    """How it stands with the joules."""

    condition: Wanted
    may_begin: bool
    """Whether questions may be asked as it stands."""


def energy(run: ResolvedRun, servers: tuple[Located, ...], context: Context) -> Energy:
    """What the policy makes of the exporters that are there."""
    policy = run.spec.energy.policy
    is_required = policy is EnergyPolicy.REQUIRED
    measured = [located for located in servers if is_measured(located.server)]
    if policy is EnergyPolicy.DISABLED:
        return Energy(_no(Reason.DISABLED, "spec.energy.policy is Disabled"), may_begin=True)
    if not measured or not is_measured(servers[0].server):
        return Energy(_no(Reason.DEVICES_UNKNOWN, _unknown(servers[0])), may_begin=not is_required)
    unseen = next(filter(_is_unseen_submodel, servers), None)
    if is_required and unseen is not None:
        # Its joules are the questions' too; without them there are no whole ones.
        return Energy(_no(Reason.DEVICES_UNKNOWN, _unknown(unseen)), may_begin=False)
    if context.settings.exporter_namespace is None:
        return Energy(_no(Reason.NO_EXPORTER, "no energy exporter is installed"), may_begin=not is_required)
    waits = [located.server.party.field for located in measured if not located.is_complete]
    if waits:
        # A runner that starts now would be told of the nodes a minute too late: mounted ConfigMaps lag.
        message = f"{', '.join(waits)}: not all of its pods are on a node yet"
        return Energy(_condition(ConditionStatus.UNKNOWN, Reason.PENDING, message), may_begin=False)
    return _on_nodes(set[str]().union(*(located.nodes for located in measured)), context, is_required=is_required)


def _is_unseen_submodel(located: Located) -> bool:
    return located.server.party.role == "submodel" and not is_measured(located.server)


def _unknown(located: Located) -> str:
    field = located.server.party.field
    return f"the devices behind {field}.external are not known; add podSelector, or use modelServerRef or template"


def _on_nodes(nodes: set[str], context: Context, *, is_required: bool) -> Energy:
    if not nodes:
        message = "no pod has the labels of spec.server.external.podSelector"
        return Energy(_no(Reason.DEVICES_UNKNOWN, message), may_begin=not is_required)
    lacking = sorted(nodes - exporters(context).keys())
    if lacking:
        message = f"no energy exporter is ready on {_listed(lacking)}"
        return Energy(_no(Reason.NO_EXPORTER, message), may_begin=not is_required)
    message = f"energy exporters are ready on {_listed(sorted(nodes))}"
    return Energy(_condition(ConditionStatus.TRUE, Reason.SENSOR_READY, message), may_begin=True)


def _listed(nodes: list[str]) -> str:
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    return ", ".join(nodes[:3]) + more


def _no(reason: Reason, message: str) -> Wanted:
    return _condition(ConditionStatus.FALSE, reason, message)


def _condition(status: ConditionStatus, reason: Reason, message: str) -> Wanted:
    return Wanted(ConditionType.ENERGY_AVAILABLE, status, reason, message)
