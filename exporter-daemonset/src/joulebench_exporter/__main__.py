"""`python -m joulebench_exporter` is `joulebench-exporter`."""

import sys

from joulebench_exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
