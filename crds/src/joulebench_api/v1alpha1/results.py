"""Where results go and in which formats."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.storage import Store


class Export(StrEnum):
    """Formats of other systems."""

    HF_DATASET = "HFDataset"
    TRACES_JSONL = "TracesJSONL"
    RESULTS_JSON = "ResultsJSON"
    ACCURACY_JSON = "AccuracyJSON"
    OPEN_JARVIS = "OpenJarvis"
    CSV = "CSV"


class Artifacts(StrEnum):
    """Of which questions the artifacts are kept."""

    ALL = "All"
    FAILED = "Failed"
    NONE = "None"


class Redact(StrEnum):
    """What is kept out of the files that are made to be shown to others."""

    NONE = "None"
    TEXTS = "Texts"


class Results(ApiModel):
    """What is kept of a run."""

    store: Store | None = None
    exports: Annotated[tuple[Export, ...], ListSet(), Field(max_length=6)] | None = None
    artifacts: Artifacts = Artifacts.ALL
    redact: Redact = Redact.NONE
    """Texts: `report.html` shows no question, answer or reference; the Parquet files keep them."""
