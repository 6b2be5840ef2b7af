"""Each image's lock: everything that it needs on Linux, nothing else, at the versions and hashes of the one lock."""

import re
from collections.abc import Sequence

import pytest
from tools.generate_image_locks import lock_blocks, needed, render, selected
from tools.images import IMAGES, ROOT, Image

LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
beta-pack==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:ba
beta-pack==2.1 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
gamma==3.0 \\
    --hash=sha256:ca
"""


def universe(**needs: Sequence[str]) -> set[str]:
    """What `root` needs, where packages need what is said here."""
    return needed(["root"], lambda name: needs.get(name, []))


def test_needs_are_followed_in_turn() -> None:
    assert universe(root=["alpha>=1"], alpha=["Beta_Pack"]) == {"root", "alpha", "beta-pack"}


def test_a_circle_of_needs_ends() -> None:
    assert universe(root=["alpha"], alpha=["root"]) == {"root", "alpha"}


def test_what_only_other_systems_need_is_left_out() -> None:
    assert universe(root=["alpha; sys_platform == 'win32'", "beta; platform_system == 'Darwin'"]) == {"root"}


@pytest.mark.parametrize(
    "marker", ["python_version < '3.12'", "python_version >= '3.14'", "platform_machine == 'aarch64'"]
)
def test_what_some_linux_needs_is_taken(marker: str) -> None:
    assert "alpha" in universe(root=[f"alpha; {marker}"])


def test_an_extra_counts_only_where_it_is_asked_for() -> None:
    alpha = ["beta; extra == 'fast'"]
    assert "beta" not in universe(root=["alpha"], alpha=alpha)
    assert "beta" in universe(root=["alpha[fast]"], alpha=alpha)
    assert "beta" in universe(root=["alpha", "gamma"], gamma=["alpha[fast]"], alpha=alpha)


def test_a_package_keeps_its_hashes_and_its_line_for_each_python() -> None:
    text = selected(lock_blocks(LOCK), {"beta-pack"})

    assert text.splitlines()[1:] == LOCK.splitlines()[3:7]


def test_a_package_that_the_lock_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"requirements.lock: delta is not in it"):
        selected(lock_blocks(LOCK), {"alpha", "delta"})


def test_the_committed_locks_are_the_ones_that_the_code_asks_for() -> None:
    for path, text in render().items():
        assert (ROOT / path).read_text() == text, path


def test_every_line_of_an_images_lock_is_in_the_one_lock() -> None:
    known = set((ROOT / "requirements.lock").read_text().splitlines())
    for image in IMAGES.values():
        assert set((ROOT / image.lock).read_text().splitlines()[1:]) <= known, image.name


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_no_image_has_tools_that_test_or_build(image: Image) -> None:
    lock = (ROOT / image.lock).read_text()
    assert not re.search(r"^(pytest|mypy|ruff|hypothesis|uv|hatchling|pip|setuptools)==", lock, re.MULTILINE)
