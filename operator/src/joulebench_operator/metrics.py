"""The operator's own metrics. Where client-go or controller-runtime have a name for a thing, it is theirs, so that
dashboards and alerts made for other operators work.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

# When each series was made is of no use to anybody, and doubles the page.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_DURATIONS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

QUEUE_DEPTH: Final = Gauge("workqueue_depth", "Objects that wait to be looked at", registry=REGISTRY)
QUEUE_ADDS: Final = Counter("workqueue_adds", "Objects that were marked to be looked at", registry=REGISTRY)
QUEUE_RETRIES: Final = Counter("workqueue_retries", "Visits that failed and come again", registry=REGISTRY)
QUEUE_SECONDS: Final = Histogram(
    "workqueue_queue_duration_seconds",
    "How long an object waited to be looked at",
    buckets=_DURATIONS,
    registry=REGISTRY,
)
LONGEST_VISIT: Final = Gauge(
    "workqueue_longest_running_processor_seconds",
    "How long the longest visit now going on has taken",
    registry=REGISTRY,
)
VISITS: Final = Counter(
    "controller_runtime_reconcile", "Visits by kind and how they ended", ["controller", "result"], registry=REGISTRY
)
VISIT_SECONDS: Final = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long a visit took",
    ["controller"],
    buckets=_DURATIONS,
    registry=REGISTRY,
)
WRITES: Final = Counter(
    "joulebench_operator_writes",
    "Requests that change the cluster, by kind and what is done",
    ["kind", "verb"],
    registry=REGISTRY,
)
LAST_EVENT: Final = Gauge(
    "joulebench_operator_watch_last_event_timestamp_seconds",
    "When the watch of a kind last said something",
    ["kind"],
    registry=REGISTRY,
)
MISSED_EVENTS: Final = Gauge(
    "joulebench_operator_watch_missed_objects",
    "Objects whose last change the watch of their kind has not told",
    ["kind"],
    registry=REGISTRY,
)
LEADER: Final = Gauge(
    "leader_election_master_status", "1 while this replica is the one that works", ["name"], registry=REGISTRY
)
