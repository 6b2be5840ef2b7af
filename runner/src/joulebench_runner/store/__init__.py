"""Where results are kept besides the run's own folder: object stores, and folders on other disks.

A run is copied while it goes on: each journal segment as it closes, the rest at the end, `summary.json` last.
"""

from joulebench_runner.store.bringing import bring_back
from joulebench_runner.store.opening import check_reachable, check_writable, open_store, store_settings
from joulebench_runner.store.store import Store
from joulebench_runner.store.uploading import upload

__all__ = ["Store", "bring_back", "check_reachable", "check_writable", "open_store", "store_settings", "upload"]
