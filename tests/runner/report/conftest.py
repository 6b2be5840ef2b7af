"""A browser for the report's tests, where there is one."""

from collections.abc import AsyncIterator

import pytest
from tools.browser import NAMES, Page, browser_page, find_browser


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """An empty page in a headless Chromium."""
    browser = find_browser()
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    async with browser_page(browser) as opened:
        await opened.resize(1280, 900)
        await opened.prefer(dark=False)
        yield opened
