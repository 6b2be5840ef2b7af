"""`python -m joulebench_simulator`."""

import sys

from joulebench_simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
