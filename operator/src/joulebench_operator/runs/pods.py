"""The pods of a run: preflight's, the runner's with its driver and its meter, and what makes one of its shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from joulebench_api.contracts.assignment import HUB_TOKEN_VARIABLE, headers_variable, key_variable
from joulebench_api.contracts.ports import METER_STATUS_PORT
from joulebench_api.v1alpha1.references import SecretKeyRef
from joulebench_operator import objects
from joulebench_operator.names import ATTEMPT_LABEL, FINALISE_PART, PREFLIGHT_PART, RUN_LABEL, RUNNER_PART
from joulebench_operator.objects import Object
from joulebench_operator.pods import security
from joulebench_operator.pods.overlay import lay, merged, plain
from joulebench_operator.runs.assignment import has_topology, headers_reference, is_data_mounted, key_reference
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.resolution import ResolvedRun
from joulebench_operator.runs.servers import Server
from joulebench_operator.runs.storage import Storage
from joulebench_operator.runs.volumes import (
    CA_FILE,
    CA_FOLDER,
    DRIVER,
    FETCH,
    FINALISE,
    METER,
    PREFLIGHT,
    Mounted,
    volumes,
)
from joulebench_operator.servers.model_files import secret_variable, variable

RUNNER_USER: Final = 65532
"""The user of the runner's image; volumes are made writable for its group."""
GRACE_SECONDS: Final = 120
"""For a meter that is asked to end: it lets the driver end, sums up and copies what there is."""
_UNDISTURBED: Final = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}


@dataclass(frozen=True)
class PodPlan:
    """All that the pods of an attempt are made of."""

    run: ResolvedRun
    names: Names
    servers: tuple[Server, ...]
    storage: Storage
    audience: str | None
    """Of the exporters' token; None: they are not asked."""


def preflight_template(plan: PodPlan) -> Object:
    """The pod that looks at everything before a server is made."""
    mounted = _volumes(plan, (PREFLIGHT,))
    template = _template(plan, mounted, part=PREFLIGHT_PART, containers=[_container(plan, PREFLIGHT, mounted)])
    return _laid(plan, template, container=PREFLIGHT)


def runner_template(plan: PodPlan, *, looks_first: bool) -> Object:
    """The pod that asks and measures. `looks_first`: preflight is its first init container."""
    first = [PREFLIGHT] if looks_first else []
    fetch = [] if is_data_mounted(plan.run) else [FETCH]
    mounted = _volumes(plan, (*first, *fetch, DRIVER, METER))
    template = _template(
        plan, mounted, part=RUNNER_PART, containers=[_container(plan, name, mounted) for name in (DRIVER, METER)]
    )
    begins = [_container(plan, name, mounted) for name in (*first, *fetch)]
    if begins:
        template["spec"]["initContainers"] = begins
    template["metadata"]["annotations"] = dict(_UNDISTURBED)
    return _laid(plan, template, container=DRIVER)


def finalise_template(plan: PodPlan) -> Object:
    """The pod that makes the results of several shards: it asks nobody, so it has no key and no token."""
    mounted = _volumes(plan, (FINALISE,))
    template = _template(plan, mounted, part=FINALISE_PART, containers=[_container(plan, FINALISE, mounted)])
    return _laid(plan, template, container=FINALISE)


def _volumes(plan: PodPlan, containers: tuple[str, ...]) -> list[Mounted]:
    return volumes(
        plan.run,
        plan.names,
        plan.storage,
        containers=containers,
        topology=has_topology(plan.servers),
        token=plan.audience,
    )


def _laid(plan: PodPlan, template: Object, *, container: str) -> Object:
    """With what the user adds: to `container`, and to those before it, which look for the same task."""
    overlay, placement = plan.run.spec.runner.pod_template, plan.run.spec.runner.placement
    laid = lay(template, container=container, overlay=overlay, placement=placement)
    begins = laid["spec"].get("initContainers")
    if begins and overlay is not None:
        added = plain(overlay.container)
        laid["spec"]["initContainers"] = [merged(one, added) for one in begins]
    return laid


def labels(names: Names, part: str) -> dict[str, str]:
    """Labels of a Job and its pods."""
    own = {RUN_LABEL: names.run, ATTEMPT_LABEL: str(names.attempt)}
    return objects.labels(part, instance=names.run, **own)


def _template(plan: PodPlan, mounted: list[Mounted], *, part: str, containers: list[Object]) -> Object:
    runner = plan.run.spec.runner
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {**security.pod(), "fsGroup": RUNNER_USER, "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": containers,
        "volumes": [{"name": volume.name, **volume.source} for volume in mounted],
    }
    if runner.service_account_name is not None:
        spec["serviceAccountName"] = runner.service_account_name
    if runner.image_pull_secrets:
        spec["imagePullSecrets"] = [plain(reference) for reference in runner.image_pull_secrets]
    return {"metadata": {"labels": labels(plan.names, part)}, "spec": spec}


def _container(plan: PodPlan, name: str, mounted: list[Mounted]) -> Object:
    runner = plan.run.spec.runner
    container: Object = {
        "name": name,
        "image": plan.run.image,
        "command": ["python", "-m", "joulebench_runner.pod", name],
        "env": _environment(plan, name),
        "securityContext": security.container(),
        "volumeMounts": [mount for volume in mounted if (mount := volume.mount(name)) is not None],
    }
    if name == METER:
        container["ports"] = [{"name": "status", "containerPort": METER_STATUS_PORT}]
    if runner.resources is not None:
        container["resources"] = plain(runner.resources)
    if plan.storage.credentials is not None and name in (METER, PREFLIGHT, FINALISE):
        container["envFrom"] = [{"secretRef": {"name": plan.storage.credentials}}]
    return container


def _environment(plan: PodPlan, name: str) -> list[Object]:
    """The user's variables, and ours, which count where both have one."""
    users = {written.name: plain(written) for written in plan.run.spec.runner.env}
    ours = {own["name"]: own for own in _own_variables(plan, name)}
    return list({**users, **ours}.values())


def _own_variables(plan: PodPlan, name: str) -> Iterator[Object]:
    if name in (METER, PREFLIGHT):
        for server in plan.servers:
            reference = key_reference(server)
            if reference is not None:
                yield secret_variable(key_variable(server.party.alias), reference)
            headers = headers_reference(server)
            if headers is not None:
                yield secret_variable(headers_variable(server.party.alias), headers)
    if plan.run.hub is not None and name in (FETCH, PREFLIGHT):
        yield variable("HF_ENDPOINT", plan.run.hub)
    token = _hub_token(plan.run)
    if token is not None and name in (FETCH, PREFLIGHT):
        yield secret_variable(HUB_TOKEN_VARIABLE, token)
    if plan.run.spec.runner.ca_bundle_config_map_ref is not None:
        yield from (variable(known, f"{CA_FOLDER}/{CA_FILE}") for known in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))


def _hub_token(run: ResolvedRun) -> SecretKeyRef | None:
    source = run.spec.task.source
    return None if source is None or source.hub is None else source.hub.token_secret_ref
