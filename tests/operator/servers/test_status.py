"""How a server stands: from its pods, and from what they answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.servers.builders import (
    condition,
    conditions,
    crashed,
    ended,
    run,
    running,
    scheduled,
    time,
    unschedulable,
    waiting,
    world,
)

from joulebench_api.engines.command import VERSION
from joulebench_api.v1alpha1.status import ModelServerStatus
from joulebench_operator.inquiry import LastWords, Served, ServedAnswer
from joulebench_operator.objects import Object


def test_without_a_pod_it_starts() -> None:
    decided = world().decide()

    assert conditions(decided) == {"Ready": "False Starting", "Reconciling": "True Starting"}
    assert decided.status["readyReplicas"] == 0
    assert decided.inquiries == ()


def test_each_stage_is_told_with_the_time_of_its_beginning() -> None:
    here = world()

    here.pod(**scheduled(at=2))
    assert (
        condition(here.decide()).message
        == f"0 of 1 serve; llama-1 pulls its image and mounts its volumes since {time(2)}"
    )
    here.pod(**running(since=20))
    assert condition(here.decide()).message == f"0 of 1 serve; llama-1 loads the model since {time(20)}"
    here.pod(**running(since=20, ready=50))
    assert condition(here.decide()).message == f"0 of 1 serve; llama-1 warms up since {time(50)}"


def test_ready_means_that_the_pod_was_asked_and_answered() -> None:
    here = world()
    here.pod(**running(ready=50))

    decided = here.decide()
    assert decided.inquiries == (Served("http://10.0.0.7:8000", "/health", "org/llama", "uid-llama-1", VERSION),)
    assert conditions(decided)["Ready"] == "False Starting"

    here.answer(ready=False, message="/v1/models lists other, not org/llama")
    assert "lists other, not org/llama" in condition(here.decide()).message

    here.answer()
    decided = here.decide()
    assert conditions(decided) == {"Ready": "True Serving"}
    assert decided.inquiries != ()
    assert decided.status["endpoints"] == [{"pod": "llama-1", "node": "gpu-1", "ip": "10.0.0.7"}]


def test_a_server_with_a_key_is_asked_for_its_health_alone() -> None:
    here = world(apiKeySecretRef={"name": "mine"})
    here.pod(**running(ready=50))

    assert here.decide().inquiries == (Served("http://10.0.0.7:8000", "/health", None, "uid-llama-1", VERSION),)


def test_addresses_of_the_sixth_version_stand_in_brackets() -> None:
    here = world()
    here.pod(**{**running(ready=50), "podIP": "fd00::7"})

    (asked,) = here.decide().inquiries
    assert isinstance(asked, Served)
    assert asked.address == "http://[fd00::7]:8000"


def test_all_replicas_have_to_serve() -> None:
    here = world(replicas=2)
    here.pod("llama-1", **running(ready=50))
    here.answer()
    assert condition(here.decide()).message == "1 of 2 serve"
    here.pod("llama-2", **running(ready=55))
    here.answer()
    assert conditions(here.decide()) == {"Ready": "True Serving"}


def test_pods_of_an_older_template_do_not_count() -> None:
    here = world()
    before = here.template()
    here.pod("llama-1", **running(ready=50))
    here.answer()
    assert conditions(here.decide())["Ready"] == "True Serving"

    here.item["spec"]["maxModelLen"] = 4096
    assert here.template() != before
    assert conditions(here.decide()) == {
        "Ready": "False RollingOut", "Reconciling": "True RollingOut", "Progressing": "True RollingOut",
    }  # fmt: skip


def test_more_replicas_leave_the_pods_as_they_are() -> None:
    here = world()
    before = here.template()
    here.item["spec"]["replicas"] = 3
    assert here.template() == before


def test_pods_of_a_former_server_of_the_name_do_not_count() -> None:
    here = world()
    here.pod(**running(ready=50), metadata={"creationTimestamp": time(-100)})
    assert here.decide().inquiries == ()
    assert conditions(here.decide())["Ready"] == "False RollingOut"


def test_an_evicted_pod_is_only_a_record() -> None:
    here = world()
    here.pod("llama-0", phase="Failed", reason="Evicted")
    assert conditions(here.decide()) == {"Ready": "False Starting", "Reconciling": "True Starting"}
    assert here.decide().status["replicas"] == 0


def test_no_replicas_are_no_failure() -> None:
    assert conditions(world(replicas=0).decide()) == {"Ready": "False ScaledToZero"}


FAILURES: list[tuple[Object, str, str, bool]] = [
    (
        unschedulable("0/4 nodes are available: 4 Insufficient nvidia.com/gpu."),
        "Unschedulable", "4 Insufficient nvidia.com/gpu", False,
    ),
    (waiting("ImagePullBackOff", 'Back-off pulling image "nope"'), "ImagePullFailed", 'image "nope"', False),
    (waiting("ErrImagePull", "not found"), "ImagePullFailed", "not found", False),
    (
        waiting("CreateContainerConfigError", "couldn't find key token in Secret team/hf"),
        "SecretUnavailable", "key token in Secret team/hf", False,
    ),
    (waiting("CreateContainerConfigError", 'secret "hf" not found'), "SecretUnavailable", '"hf" not found', False),
    (
        waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        "InvalidSpec", "runAsNonRoot", False,
    ),
    (waiting("RunContainerError", 'exec: "vllm": not found in $PATH'), "ServerCrashed", "not found in $PATH", False),
    (
        waiting("RunContainerError", "container init was OOM-killed (memory limit too low?)"),
        "OutOfMemory", "memory limit too low", False,
    ),
    (crashed(128, message='exec: "vllm": not found in $PATH'), "ServerCrashed", "1 time: exec: \"vllm\"", False),
    (crashed(137, reason="OOMKilled"), "OutOfMemory", "more memory than its limit", False),
    (crashed(1, restarts=3), "ServerCrashed", "exit code 1, started again 3 times", False),
    (
        running(since=50, lastState={"terminated": ended(1)}, restartCount=1),
        "ServerCrashed", "started again 1 time", False,
    ),
    (crashed(137, since=20, until=20 + 1800), "StartupTimeout", "within the 1800 s of startupTimeout", True),
    (running(since=20 - 1800), "StartupTimeout", "within the 1800 s of startupTimeout", True),
]  # fmt: skip


@pytest.mark.parametrize(("state", "reason", "text", "hopeless"), FAILURES)
def test_a_failure_is_told_by_its_cause(state: Object, reason: str, text: str, hopeless: bool) -> None:
    here = world()
    here.pod(**state)
    decided = here.decide()

    other = "Stalled" if hopeless else "Reconciling"
    assert conditions(decided) == {"Ready": f"False {reason}", other: f"True {reason}"}
    assert text in condition(decided).message


@pytest.mark.parametrize(
    ("words", "reason", "hopeless"),
    [
        ("vllm: error: unrecognized arguments: --enable-prefix-cachin", "InvalidSpec", True),
        ("api_server.py: error: argument --dtype: invalid choice: 'half16'", "InvalidSpec", True),
        ("error: invalid argument: --nonsense", "InvalidSpec", True),
        ("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.", "ModelUnavailable", False),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "ModelUnavailable", False),
        ("OSError: org/x is not a local folder and is not a valid model identifier", "ModelUnavailable", False),
        (
            "HFValidationError: Repo id must be in the form 'name': '/absent'.",
            "ModelUnavailable",
            False,
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "OutOfMemory", False),
        ("ValueError: No available memory for the cache blocks.", "OutOfMemory", False),
        (
            "ValueError: Available memory on node 0 (15.2/23.4 GiB) on kv cache allocation is less than requested",
            "OutOfMemory",
            False,
        ),
        ("there is no model file at /model/a.gguf", "ModelUnavailable", False),
        (
            "ValueError: Free memory on device cuda:0 (1.0/80.0 GiB) on startup is less than desired",
            "OutOfMemory",
            False,
        ),
        ("RuntimeError: something else", "ServerCrashed", False),
        ("INFO If out of memory occurs, lower gpu_memory_utilization", "ServerCrashed", False),
    ],
)
def test_the_last_words_tell_the_cause(words: str, reason: str, hopeless: bool) -> None:
    here = world()
    here.pod(**crashed(1))
    here.say(f"INFO starting\n{words}\n")
    decided = here.decide()

    other = "Stalled" if hopeless else "Reconciling"
    assert conditions(decided) == {"Ready": f"False {reason}", other: f"True {reason}"}
    assert condition(decided).message.endswith(words)


def test_an_engine_of_several_processes_is_told_by_the_error_that_the_others_refer_to() -> None:
    here = world()
    here.pod(**crashed(1))
    here.say(
        "(EngineCore pid=85) ValueError: heads cannot be divided\n"
        "(APIServer pid=1) Traceback (most recent call last):\n"
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.\n"
        "resource_tracker.py: UserWarning: there appear to be leaked objects\n"
    )
    assert condition(here.decide()).message.endswith("ValueError: heads cannot be divided")


def test_what_is_told_is_never_too_long_for_a_condition() -> None:
    here = world()
    here.pod(**unschedulable("no room " * 500))
    assert len(condition(here.decide()).message) == 1024


def test_the_words_of_one_ending_are_asked_for_once() -> None:
    here = world()
    here.pod(**crashed(1, restarts=2))
    assert here.decide().inquiries == (LastWords("team", "llama-1", "server", 2),)
    here.pod(**running(since=50, lastState={"terminated": ended(1)}, restartCount=3))
    assert here.decide().inquiries == (LastWords("team", "llama-1", "server", 2),)


def test_a_pod_that_was_ready_and_is_killed_later_did_not_start_too_slowly() -> None:
    here = world()
    state = crashed(137, since=20, until=9000)
    state["conditions"][1]["lastTransitionTime"] = time(8990)
    here.pod(**state)
    assert conditions(here.decide())["Ready"] == "False ServerCrashed"


def test_a_pod_that_stops_answering_is_told() -> None:
    here = world()
    here.pod(**running(since=20, unready=300))
    assert condition(here.decide()).message == f"0 of 1 serve; llama-1 does not answer /health since {time(300)}"


def test_a_failure_goes_when_the_pod_serves() -> None:
    here = world()
    here.pod(**running(since=50, ready=55, lastState={"terminated": ended(1)}, restartCount=1))
    here.answer()
    assert conditions(here.decide()) == {"Ready": "True Serving"}


def test_the_gravest_failure_is_told() -> None:
    here = world(replicas=2)
    here.pod("llama-1", **waiting("ErrImagePull", "x"))
    here.pod("llama-2", **running(since=-2000))
    assert conditions(here.decide())["Ready"] == "False StartupTimeout"


def test_pods_that_are_refused_are_told_by_the_deployment() -> None:
    here = world()
    here.written()
    (deployment,) = [entry.body for entry in here.decide().children if entry.body["kind"] == "Deployment"]
    for message, reason in (
        ('pods "llama-1" is forbidden: exceeded quota: gpus', "Unschedulable"),
        ('pods "llama-1" is forbidden: violates PodSecurity "restricted:latest"', "NotAllowed"),
    ):
        failed = {"type": "ReplicaFailure", "status": "True", "message": message}
        here.cache.put({**deployment, "status": {"conditions": [failed]}})
        assert conditions(here.decide())["Ready"] == f"False {reason}"
        assert condition(here.decide()).message == message


def test_kueue_s_quota_is_waited_for() -> None:
    here = world(queue={"name": "gpus"})
    gate = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    here.pod(spec=gate)
    assert conditions(here.decide()) == {
        "Ready": "False WaitingForQuota", "Reconciling": "True WaitingForQuota",
        "QuotaReserved": "False WaitingForQuota",
    }  # fmt: skip
    here.pod(**scheduled())
    assert conditions(here.decide())["QuotaReserved"] == "True QuotaReserved"


def test_unknown_options_are_told_and_not_refused() -> None:
    here = world(engineArgs={"enable-prefix-cachin": True})
    here.pod(**running(ready=50))
    here.answer()
    assert conditions(here.decide()) == {"Ready": "True Serving"}
    assert "engineArgs.enable-prefix-cachin is not an option of vLLM 0.33.0" in condition(here.decide()).message


def test_a_start_is_timed_once() -> None:
    here = world()
    here.pod(**running(since=20))
    assert here.decide().status["startup"] == {"pullSeconds": "18"}
    here.pod(**running(since=20, ready=50))
    assert here.decide().status["startup"] == {"pullSeconds": "18", "loadSeconds": "30"}
    here.answer()
    here.seconds = 62
    timed = {"pullSeconds": "18", "loadSeconds": "30", "warmSeconds": "12", "totalSeconds": "61"}
    assert here.written().status["startup"] == timed
    here.seconds = 1000
    assert here.decide().status["startup"] == timed


def test_a_look_is_due_at_the_end_of_the_startup_timeout() -> None:
    here = world(startupTimeout="5m")
    here.pod(**running(since=20))
    assert here.decide().again_after_seconds == 300 - 40
    here.pod(**running(since=20, ready=30))
    assert here.decide().again_after_seconds is None


def test_nothing_changes_without_a_change() -> None:
    here = world()
    here.pod(**running(ready=50))
    here.answer()
    first = here.written()
    here.seconds += 3600
    assert here.decide() == first


def test_what_really_runs_is_recorded() -> None:
    here = world(revision="abc", accelerator={"products": ["NVIDIA-L4"]}, args=["--hf-token", "hf_secret", "--x"])
    here.pod(**running(ready=50))
    here.answer()
    resolved = here.decide().status["resolved"]
    assert resolved["imageDigest"] == "sha256:abc"
    assert resolved["modelRevision"] == "abc"
    assert (resolved["acceleratorProduct"], resolved["acceleratorsPerReplica"]) == ("NVIDIA-L4", 1)
    assert resolved["argv"][-3:] == ["--hf-token", "***", "--x"]
    assert len(resolved["configuration"]["sha256"]) == 64


def test_the_engine_s_version_is_what_all_pods_say_of_themselves() -> None:
    here = world(replicas=2)
    here.pod("llama-1", **running(ready=50))
    here.answer(version="0.33.0")
    assert here.decide().status["resolved"]["engineVersion"] == "0.33.0"

    here.pod("llama-2", **{**running(ready=55), "podIP": "10.0.0.8"})
    (_, second) = here.decide().inquiries
    here.cache.answered(second, ServedAnswer(ready=True, version="0.32.0"))
    assert "engineVersion" not in here.decide().status["resolved"]


def test_a_version_that_is_known_stays_while_an_operator_that_was_started_anew_asks_again() -> None:
    here = world()
    here.pod(**running(ready=50))
    here.answer(version="0.33.0")
    before = here.written().status
    (asked,) = here.decide().inquiries
    here.cache.forget(asked)
    assert here.decide().status == before

    here.answer(version="0.34.0")
    assert here.decide().status["resolved"]["engineVersion"] == "0.34.0"


STATES: st.SearchStrategy[Object] = st.one_of(
    st.sampled_from([state for state, _, _, _ in FAILURES]),
    st.builds(running, since=st.integers(0, 50), ready=st.one_of(st.none(), st.integers(0, 50))),
    st.just(scheduled()),
    st.just({"phase": "Failed"}),
    st.just({}),
)


@given(
    st.lists(STATES, max_size=4),
    st.integers(0, 3),
    st.sampled_from(["Always", "OnDemand"]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_the_pods_are_the_status_is_one_that_the_schema_takes(
    states: list[Any], replicas: int, activation: str, needed: bool, answers: bool
) -> None:
    here = world(replicas=replicas, activation=activation)
    if needed:
        here.cache.put(run())
    for number, state in enumerate(states):
        here.pod(f"llama-{number}", **state)
    if answers:
        here.answer()
        here.say("the end")
    decided = here.decide()
    held = conditions(decided)
    awake = replicas > 0 and (activation == "Always" or needed)

    ModelServerStatus.model_validate(dict(decided.status))
    assert "Ready" in held
    assert not {"Reconciling", "Stalled"} <= held.keys()
    assert held["Ready"].startswith("True") == (awake and 0 < replicas <= decided.status["readyReplicas"])


def test_an_operator_that_was_started_anew_believes_the_status_until_it_has_asked_again() -> None:
    here = world()
    here.pod(**running(ready=50))
    here.answer()
    here.written()
    (asked,) = here.decide().inquiries
    here.cache.forget(asked)

    decided = here.decide()
    assert decided.inquiries == (asked,)
    assert conditions(decided) == {"Ready": "True Serving"}

    here.answer(ready=False, message="it is gone")
    assert conditions(here.decide())["Ready"] == "False Starting"


def test_a_pod_that_is_not_ready_any_more_does_not_serve_whatever_the_status_says() -> None:
    here = world()
    here.pod(**running(ready=50))
    here.answer()
    here.written()
    (asked,) = here.decide().inquiries
    here.cache.forget(asked)
    here.pod(**running(unready=70))
    assert conditions(here.decide())["Ready"] == "False Starting"
