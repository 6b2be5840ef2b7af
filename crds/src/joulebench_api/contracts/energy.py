"""The words for energy: where it was measured, how, and how it was split."""

from enum import StrEnum
from typing import Final

SIMULATED_PRODUCT_NAME: Final = "Simulated GPU"
"""A device of this product name is of kind `simulated`, whoever shows it."""


class Domain(StrEnum):
    """What a device's counter covers. PSYS overlaps the packages and is never added to them."""

    GPU = "GPU"
    CPU = "CPU"
    DRAM = "DRAM"
    PSYS = "PSYS"


class Scope(StrEnum):
    """How much hardware stands behind one counter."""

    BOARD = "Board"
    MODULE = "Module"
    PARTITION = "Partition"
    PACKAGE = "Package"
    MACHINE = "Machine"


class SensorKind(StrEnum):
    """Whether joules come from a hardware counter, from a stated model, or from a simulation."""

    MEASURED = "measured"
    MODELLED = "modelled"
    SIMULATED = "simulated"


class Method(StrEnum):
    """How energy that several queries used together is split over them."""

    PHASE = "Phase"
    TOKEN = "Token"  # noqa: S105
    EQUAL = "Equal"
    AFFINE = "Affine"
    MARGINAL = "Marginal"
    WINDOW = "Window"
