"""Takes the picture of a run's report for the documentation.

python tools/screenshot_report.py RUN [PICTURE]     writes docs/images/report.png; needs a Chromium
"""

import argparse
import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from joulebench_runner.report import write_report  # noqa: E402 - all of these need the path above
from joulebench_runner.results.folder import open_run  # noqa: E402
from tools.browser import NAMES, browser_page, find_browser  # noqa: E402

WIDTH, HEIGHT = 1100, 1400


async def take(report: Path, picture: Path, *, browser: str) -> None:
    """Open the report and write the upper part of it as PNG."""
    async with browser_page(browser) as page:
        await page.prefer(dark=False)
        await page.resize(WIDTH, HEIGHT)
        await page.open(report)
        await page.until("document.documentElement.dataset.ready === 'yes'")
        data = await page.screenshot()
    await asyncio.to_thread(picture.write_bytes, data)


def main() -> int:
    """Write the report anew and take its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="results folder of a run")
    parser.add_argument("picture", type=Path, nargs="?", default=ROOT / "docs" / "images" / "report.png")
    options = parser.parse_args()
    browser = find_browser()
    if browser is None:
        print(f"there is no browser: none of {', '.join(NAMES)} is on the PATH", file=sys.stderr)
        return 1
    written = write_report(open_run(options.run))
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(written.path.absolute(), options.picture, browser=browser))
    print(f"wrote {options.picture} ({options.picture.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
