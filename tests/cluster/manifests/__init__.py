"""Objects that every cluster begins with, as YAML with `$NAMES` of settings in it."""

from pathlib import Path
from string import Template

from tests.cluster import settings


def manifest(name: str, **more: str) -> str:
    """A manifest with the settings filled in, and what else its names stand for."""
    text = (Path(__file__).parent / f"{name}.yaml").read_text()
    return Template(text).substitute({key: value for key, value in vars(settings).items() if key.isupper()}, **more)
