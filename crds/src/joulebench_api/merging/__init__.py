"""Layers of what people wrote -> one object, and a campaign -> its cells. Pure functions over plain values.

From the lowest: built-in defaults, the operator configuration's defaults, its entry for the namespace, a campaign's
defaults, the model's entry, its variant, the benchmark's entry. What a higher layer says goes before what a lower one
says. Objects merge, lists replace, and one field of a union takes the place of the others.
"""

from joulebench_api.merging.cells import Cell, cells, each_cell
from joulebench_api.merging.identity import cell_hash
from joulebench_api.merging.layers import Written, merge, merge_all, written

__all__ = ["Cell", "Written", "cell_hash", "cells", "each_cell", "merge", "merge_all", "written"]
