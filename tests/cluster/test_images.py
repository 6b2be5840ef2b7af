"""Images: built from a Dockerfile on our base, loaded, run; nothing is pulled."""

from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.images import store
from tests.cluster.objects import pod
from tests.cluster.session import Namespace

DOCKERFILE = """\
ARG BASE
FROM ${BASE}
COPY greeting /greeting
RUN chmod 0444 /greeting
USER 65532:65532
ENTRYPOINT ["/bin/cat"]
"""


def test_a_dockerfile_becomes_a_pod(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "greeting").write_text("built here\n")
    image = "localhost/greeting:1"

    cluster.load_image(store.built(image, tmp_path))

    assert namespace.said(pod("greeter", "/greeting", container_more={"image": image})) == "built here"


def test_what_was_built_once_is_kept(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "greeting").write_text("built here\n")

    first = store.built("localhost/greeting:1", tmp_path)
    made = first.stat().st_ino

    assert store.built("localhost/greeting:1", tmp_path).stat().st_ino == made


def test_an_image_that_was_not_loaded_is_not_pulled(namespace: Namespace) -> None:
    namespace.apply(pod("absent", "rest", container_more={"image": "localhost/absent:1"}))

    reason = "--output=jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    namespace.cluster.wait(
        lambda: namespace.kubectl("get", "pod", "absent", reason) == "ErrImageNeverPull", what="the kubelet's refusal"
    )
