"""Condition types and reasons: the words by which `status` says how it stands, each with what to do about it.

Conditions follow kstatus: `Ready` is always there from the first visit; `Reconciling` and `Stalled` are there only
while they are True; runs and campaigns add `Succeeded` and `Finished`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ConditionType(StrEnum):
    """The types of conditions."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PROGRESSING = "Progressing"
    VALIDATED = "Validated"
    QUOTA_RESERVED = "QuotaReserved"
    SERVER_READY = "ServerReady"
    ENERGY_AVAILABLE = "EnergyAvailable"
    RESULTS_STORED = "ResultsStored"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"


CONDITION_MEANINGS: Mapping[ConditionType, str] = MappingProxyType(
    {
        ConditionType.READY: "True: a server answers, or a run or campaign has ended well. Its reason is the column"
        " STATUS.",
        ConditionType.RECONCILING: "There, and True, while the operator is working towards the spec.",
        ConditionType.STALLED: "There, and True, when the operator cannot go on without a change by somebody.",
        ConditionType.PROGRESSING: "True while pods of a server are being replaced.",
        ConditionType.VALIDATED: "Whether task, data, keys, store and endpoints were found good; no accelerator is"
        " taken before.",
        ConditionType.QUOTA_RESERVED: "Whether Kueue has given the quota; absent without a queue.",
        ConditionType.SERVER_READY: "Whether all servers of the run answer.",
        ConditionType.ENERGY_AVAILABLE: "Whether joules can be measured on the devices that serve the run.",
        ConditionType.RESULTS_STORED: "Whether the results are in the store.",
        ConditionType.SUCCEEDED: "True or False once the run or campaign has ended, Unknown before.",
        ConditionType.FINISHED: "True once the run or campaign has ended, well or not: what a script waits for.",
    }
)

RUN_CONDITIONS = (
    ConditionType.READY,
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.VALIDATED,
    ConditionType.QUOTA_RESERVED,
    ConditionType.SERVER_READY,
    ConditionType.ENERGY_AVAILABLE,
    ConditionType.RESULTS_STORED,
    ConditionType.SUCCEEDED,
    ConditionType.FINISHED,
)
SERVER_CONDITIONS = (
    ConditionType.READY,
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.QUOTA_RESERVED,
    ConditionType.PROGRESSING,
)
CAMPAIGN_CONDITIONS = (
    ConditionType.READY,
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.VALIDATED,
    ConditionType.SUCCEEDED,
    ConditionType.FINISHED,
)


class Reason(StrEnum):
    """Why a condition is as it is."""

    # where a run, a campaign or a server stands
    PENDING = "Pending"
    SUSPENDED = "Suspended"
    VALIDATING = "Validating"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    WAITING_FOR_SERVER = "WaitingForServer"
    SERVER_BUSY = "ServerBusy"
    RUNNING = "Running"
    STORING_RESULTS = "StoringResults"
    SUCCEEDED = "Succeeded"
    AS_EXPECTED = "AsExpected"
    SERVING = "Serving"
    ASLEEP = "Asleep"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    SCALED_TO_ZERO = "ScaledToZero"
    PREEMPTED = "Preempted"
    RETRYING = "Retrying"
    WAITING_FOR_ROUND = "WaitingForRound"
    REPLACED = "Replaced"
    # what preflight finds
    PREFLIGHT_PASSED = "PreflightPassed"
    UNKNOWN_TASK = "UnknownTask"
    INVALID_PARAMETERS = "InvalidParameters"
    DATASET_UNAVAILABLE = "DatasetUnavailable"
    SECRET_UNAVAILABLE = "SecretUnavailable"  # noqa: S105 - a reason
    STORE_NOT_WRITABLE = "StoreNotWritable"
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    SANDBOX_UNAVAILABLE = "SandboxUnavailable"
    AGENT_UNAVAILABLE = "AgentUnavailable"
    NOT_SUPPORTED = "NotSupported"
    RUNNER_INCOMPATIBLE = "RunnerIncompatible"
    PREFLIGHT_FAILED = "PreflightFailed"
    # what the operator finds
    INVALID_SPEC = "InvalidSpec"
    NOT_ALLOWED = "NotAllowed"
    SERVER_NOT_FOUND = "ServerNotFound"
    UNKNOWN_PRESET = "UnknownPreset"
    UNKNOWN_ACCELERATOR_PROFILE = "UnknownAcceleratorProfile"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    OUT_OF_MEMORY = "OutOfMemory"
    SERVER_CRASHED = "ServerCrashed"
    STARTUP_TIMEOUT = "StartupTimeout"
    QUEUE_TIMEOUT = "QueueTimeout"
    SERVER_READY_TIMEOUT = "ServerReadyTimeout"
    RUN_TIMEOUT = "RunTimeout"
    RETRY_LIMIT_EXCEEDED = "RetryLimitExceeded"
    # how a run ended
    ERROR_LIMIT_EXCEEDED = "ErrorLimitExceeded"
    ENERGY_INCOMPLETE = "EnergyIncomplete"
    RUN_FAILED = "RunFailed"
    UPLOAD_FAILED = "UploadFailed"
    CELLS_FAILED = "CellsFailed"
    # quota, energy and results
    QUOTA_RESERVED = "QuotaReserved"
    SENSOR_READY = "SensorReady"
    MODELLED = "Modelled"
    NO_EXPORTER = "NoExporter"
    NO_SENSOR = "NoSensor"
    DEVICES_UNKNOWN = "DevicesUnknown"
    DEVICES_SHARED = "DevicesShared"
    DISABLED = "Disabled"
    STORED = "Stored"


@dataclass(frozen=True)
class Advice:
    """What a reason means, and what to do about it: one sentence each."""

    meaning: str
    remedy: str


_WAIT = "Nothing: it goes on by itself."

ADVICE: Mapping[Reason, Advice] = MappingProxyType(
    {
        Reason.PENDING: Advice("Seen, but nothing has been started yet.", _WAIT),
        Reason.SUSPENDED: Advice("`suspend` is true; accelerators are given back.", "Set `suspend` to false to go on."),
        Reason.VALIDATING: Advice("Preflight looks at task, data, keys, store and endpoints.", _WAIT),
        Reason.WAITING_FOR_QUOTA: Advice(
            "Kueue has not given the quota yet.", "Look at the queue with `kubectl get workloads`, or wait."
        ),
        Reason.WAITING_FOR_SERVER: Advice(
            "A server is being started or woken up.", "Look at the ModelServer's conditions if it takes long."
        ),
        Reason.SERVER_BUSY: Advice(
            "Another run has the server to itself.", "Wait, or set `access: Shared` on both runs."
        ),
        Reason.RUNNING: Advice("Questions are being asked.", _WAIT),
        Reason.STORING_RESULTS: Advice("All is asked; results are being written.", _WAIT),
        Reason.SUCCEEDED: Advice("All is asked, measured and stored.", "Read the results at `status.results.url`."),
        Reason.AS_EXPECTED: Advice("Nothing is unusual.", "Nothing."),
        Reason.SERVING: Advice("All replicas answer.", "Nothing."),
        Reason.ASLEEP: Advice(
            "The server is off until somebody needs it (`activation: OnDemand`).", "Nothing: a run wakes it."
        ),
        Reason.STARTING: Advice("Pods start, pull images or load the model.", _WAIT),
        Reason.ROLLING_OUT: Advice("Pods are being replaced by newer ones.", _WAIT),
        Reason.SCALED_TO_ZERO: Advice("`replicas` is 0.", "Raise `replicas`."),
        Reason.PREEMPTED: Advice(
            "Kueue took the quota for more urgent work; the clock of `timeouts.run` stands still.", _WAIT
        ),
        Reason.RETRYING: Advice(
            "The infrastructure failed; what is answered is kept and the rest is asked again.", _WAIT
        ),
        Reason.WAITING_FOR_ROUND: Advice("The next round is not due yet.", "See `status.nextScheduleTime`."),
        Reason.REPLACED: Advice("A new `rerunToken` started another attempt before this one had ended.", "Nothing."),
        Reason.PREFLIGHT_PASSED: Advice("Everything that was looked at is good.", "Nothing."),
        Reason.UNKNOWN_TASK: Advice(
            "The runner's image has no task of that name.",
            "Correct `task.name`, or set `runner.image` to one that has the task.",
        ),
        Reason.INVALID_PARAMETERS: Advice(
            "The task or agent does not take these `params`.", "Correct the parameter that the message names."
        ),
        Reason.DATASET_UNAVAILABLE: Advice(
            "The questions cannot be loaded.",
            "Check `task.source`, its token and the way to the hub; without one, put the data on a claim.",
        ),
        Reason.SECRET_UNAVAILABLE: Advice(
            "A Secret, or a key in it, is not there.",
            "Make the Secret that the message names in the run's own namespace.",
        ),
        Reason.STORE_NOT_WRITABLE: Advice(
            "Results could not be written.", "Check `results.store`, its credentials and its free space."
        ),
        Reason.ENDPOINT_UNREACHABLE: Advice(
            "An external server does not answer as expected.",
            "Check the address, its `/v1`, the key and network policies.",
        ),
        Reason.SANDBOX_UNAVAILABLE: Advice(
            "The sandbox that the task needs cannot be had here.",
            "Choose another `sandbox.mode`, or ask the administrator to enable sandbox pods.",
        ),
        Reason.AGENT_UNAVAILABLE: Advice(
            "The runner's image has no agent of that name.", "Choose one that the message names, or remove `agent`."
        ),
        Reason.NOT_SUPPORTED: Advice(
            "The runner's release cannot do what a field asks for.", "Change the field that the message names."
        ),
        Reason.RUNNER_INCOMPATIBLE: Advice(
            "The runner's image speaks another version of the contracts.",
            "Use the runner of the operator's release, or remove `runner.image`.",
        ),
        Reason.PREFLIGHT_FAILED: Advice(
            "Preflight ended without a report.", "Read the log of the pod that the message names."
        ),
        Reason.INVALID_SPEC: Advice("The spec contradicts itself.", "Correct the field that the message names."),
        Reason.NOT_ALLOWED: Advice(
            "The administrator's policy forbids an image, service account or endpoint.",
            "Choose an allowed one, or ask the administrator.",
        ),
        Reason.SERVER_NOT_FOUND: Advice(
            "There is no ModelServer of that name in this namespace.", "Create it, or correct `modelServerRef.name`."
        ),
        Reason.UNKNOWN_PRESET: Advice(
            "Nobody has configured a preset of that name.", "Choose one that the message names."
        ),
        Reason.UNKNOWN_ACCELERATOR_PROFILE: Advice(
            "Nobody has configured an accelerator profile of that name.", "Choose one that the message names."
        ),
        Reason.NAME_TAKEN: Advice(
            "An object of the name that joulebench needs belongs to somebody else; it is left alone.",
            "Remove it, or choose another name.",
        ),
        Reason.REFUSED: Advice(
            "The API server refuses an object that is needed.",
            "Read its words in the message: a quota, a policy, or a field of `podTemplate` or `placement`.",
        ),
        Reason.UNSCHEDULABLE: Advice(
            "No node has room for a pod.", "Ask for less, free accelerators, or correct placement and accelerator."
        ),
        Reason.IMAGE_PULL_FAILED: Advice(
            "An image cannot be pulled.", "Check the image's name and `imagePullSecrets`."
        ),
        Reason.MODEL_UNAVAILABLE: Advice(
            "The model cannot be fetched or found.",
            "Check `model`, `revision`, `source` and the token; accept the licence of gated models.",
        ),
        Reason.OUT_OF_MEMORY: Advice(
            "The model or its cache does not fit into memory.",
            "Lower `maxModelLen`, raise `parallelism.tensor`, or choose a larger accelerator.",
        ),
        Reason.SERVER_CRASHED: Advice(
            "The engine ends again and again.", "Read the server's log for the engine's own words."
        ),
        Reason.STARTUP_TIMEOUT: Advice(
            "The server was not ready within `startupTimeout`.", "Raise it, or cache the model on a claim."
        ),
        Reason.QUEUE_TIMEOUT: Advice(
            "No quota came within `timeouts.queue`.", "Raise it, or run when the queue is shorter."
        ),
        Reason.SERVER_READY_TIMEOUT: Advice(
            "The servers were not ready within `timeouts.serverReady`.",
            "Look at the servers' conditions, or raise the limit.",
        ),
        Reason.RUN_TIMEOUT: Advice(
            "Not everything was asked within `timeouts.run`; what was answered is kept.",
            "Raise it, or ask fewer questions; a new `rerunToken` starts again.",
        ),
        Reason.RETRY_LIMIT_EXCEEDED: Advice(
            "The infrastructure failed more often than `retryLimit` allows.",
            "Look at the last attempt in `status.attempts`; a new `rerunToken` starts again.",
        ),
        Reason.ERROR_LIMIT_EXCEEDED: Advice(
            "More questions failed than `maxErrors` allows.", "Read the errors in the results, then mend the server."
        ),
        Reason.ENERGY_INCOMPLETE: Advice(
            "Less of the window was covered by ticks than `energy.minCoveragePercent`; results are kept.",
            "Look at the exporter on the node, or choose `policy: Preferred`.",
        ),
        Reason.RUN_FAILED: Advice("The runner failed.", "Read the message, then the runner's log."),
        Reason.UPLOAD_FAILED: Advice(
            "Results could not be brought to the store; they are on the runner's volume.",
            "Mend the store; the upload is tried again.",
        ),
        Reason.CELLS_FAILED: Advice(
            "Some runs of the campaign failed.", "Look at `status.cellTable`, then at the runs that it names."
        ),
        Reason.QUOTA_RESERVED: Advice("Kueue has given the quota.", "Nothing."),
        Reason.SENSOR_READY: Advice("A sensor measures every device that serves the run.", "Nothing."),
        Reason.MODELLED: Advice(
            "Joules come from a stated model, not from a counter.", "Read them as an estimate, or use other nodes."
        ),
        Reason.NO_EXPORTER: Advice(
            "No energy exporter runs on a node that serves the run.", "Enable the exporter on that node."
        ),
        Reason.NO_SENSOR: Advice(
            "The node has no counter for the devices.", "Use other nodes, or choose `policy: Preferred` or `Disabled`."
        ),
        Reason.DEVICES_UNKNOWN: Advice(
            "It is not known which devices serve the run.",
            "Add `external.podSelector`, or use a ModelServer.",
        ),
        Reason.DEVICES_SHARED: Advice(
            "Others use the same devices; their joules are told apart as far as possible.",
            "Use devices of its own for exact figures.",
        ),
        Reason.DISABLED: Advice("`energy.policy` is Disabled.", "Nothing."),
        Reason.STORED: Advice("The results are in the store.", "Read them at `status.results.url`."),
    }
)

PREFLIGHT_REASONS = frozenset(
    {
        Reason.UNKNOWN_TASK,
        Reason.INVALID_PARAMETERS,
        Reason.DATASET_UNAVAILABLE,
        Reason.SECRET_UNAVAILABLE,
        Reason.STORE_NOT_WRITABLE,
        Reason.ENDPOINT_UNREACHABLE,
        Reason.SANDBOX_UNAVAILABLE,
        Reason.AGENT_UNAVAILABLE,
        Reason.NOT_SUPPORTED,
        Reason.RUNNER_INCOMPATIBLE,
    }
)
"""What preflight itself may find (see `joulebench_api.contracts.preflight`)."""
