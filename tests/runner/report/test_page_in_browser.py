"""The report in a real browser: it draws, filters and opens, asks nobody for anything, and hostile texts stay texts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.synthetic_run import write_run
from tools.browser import Page

from joulebench_runner.report import write_report
from joulebench_runner.results.folder import open_run

READY = "document.documentElement.dataset.ready === 'yes'"
ROWS = "document.querySelectorAll('#rows tr.row').length"
COUNT = "document.getElementById('count').textContent"
ENTER: dict[str, Any] = {"key": "Enter", "code": 13, "text": "\r"}


async def show(page: Page, folder: Path, **options: Any) -> None:
    """Open the report of a synthetic run and wait until everything is drawn."""
    written = write_report(open_run(write_run(folder, **options)))
    await page.open(written.path)
    await page.until(READY)


@pytest.fixture(autouse=True)
async def nothing_to_complain_about(page: Page) -> AsyncIterator[None]:
    """After each test: no script has failed, nothing was refused, nothing but the file itself was loaded."""
    yield
    await page.evaluate("1")  # what was still under way has been told by now
    assert page.complaints == []
    assert [one for one in page.requests if not one.startswith(("file:", "data:", "about:"))] == []
    assert sum(one.startswith("file:") for one in page.requests) <= 1


async def search(page: Page, text: str) -> None:
    await page.evaluate(
        f"(() => {{const box = document.getElementById('search'); box.value = {text!r};"
        " box.dispatchEvent(new Event('input', {bubbles: true}));})()"
    )


async def test_all_figures_are_drawn(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, questions=30)
    drawn = await page.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('svg').length)"
    )
    assert len(drawn) == 6
    assert all(drawn)
    assert await page.evaluate("document.querySelectorAll('.plot .scatterlayer .trace').length") >= 10


async def test_search_and_filters_choose_questions(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, questions=60)
    assert await page.evaluate(ROWS) == 60
    await search(page, "record-7")
    assert await page.evaluate(ROWS) == 1
    await search(page, "RECORD-1 history")
    assert await page.evaluate(ROWS) == 2  # 12 and 17
    await search(page, "")
    await page.evaluate("document.querySelector('input[value=wrong]').click()")
    assert await page.evaluate(ROWS) == 20
    assert await page.evaluate(COUNT) == "20 questions of 60 on this page"
    await page.evaluate(
        "(() => {const box = document.getElementById('subject'); box.value = 'physics';"
        " box.dispatchEvent(new Event('change', {bubbles: true}));})()"
    )
    assert await page.evaluate(ROWS) == 4


async def test_columns_sort_both_ways(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, questions=20)
    ids = "[...document.querySelectorAll('#rows tr.row')].map(row => row.dataset.query)"
    click = "document.querySelector('th.c-joules button').click()"
    state = "document.querySelector('th.c-joules').getAttribute('aria-sort')"
    await page.evaluate(click)
    down = await page.evaluate(ids)
    assert await page.evaluate(state) == "descending"
    await page.evaluate(click)
    assert await page.evaluate(state) == "ascending"
    assert await page.evaluate(ids) == down[::-1]
    table = open_run(tmp_path).table("queries.parquet").to_pylist()
    assert down[0] == max(table, key=lambda row: row["energy_joules"])["query_id"]


async def test_a_question_opens_and_closes_by_keyboard(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path)
    await page.evaluate("document.querySelector('.open-button').focus()")
    await page.press(**ENTER)
    opened = await page.evaluate("document.querySelector('.detail').textContent")
    for words in ("prompt", "answer", "reference", "bounds", "prefill", "TTFT", "calls", "read the last number"):
        assert words in opened, words
    assert await page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    await page.press(**ENTER)
    assert await page.evaluate("document.querySelector('.detail')") is None


async def test_a_call_that_is_clicked_opens_its_question(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, questions=120)
    await search(page, "nothing of the kind")
    bar = await page.evaluate("document.querySelector('.plot').data.find(one => one.type === 'bar').customdata[0]")
    await page.evaluate(f"document.querySelector('.plot').emit('plotly_click', {{points: [{{customdata: {bar!r}}}]}})")
    assert await page.evaluate("document.querySelector('.detail').previousElementSibling.dataset.query") == bar


async def test_more_questions_come_when_asked_for(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, questions=250)
    assert await page.evaluate(ROWS) == 100
    await page.evaluate("document.getElementById('more').click()")
    assert await page.evaluate(ROWS) == 200
    await page.evaluate("document.getElementById('all').click()")
    assert await page.evaluate(ROWS) == 250
    assert await page.evaluate("document.getElementById('more').hidden")


async def test_hostile_texts_stay_texts(page: Page, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>\u2028"
    columns = ("messages", "response", "reference", "explanation", "subject", "record_id", "query_id")
    await show(page, tmp_path, texts=dict.fromkeys(columns, hostile), name=hostile, warnings=[hostile])
    await page.evaluate("document.querySelectorAll('.open-button').forEach(button => button.click())")
    assert await page.evaluate("document.title") == "tiny-model on quiz | joulebench"
    assert await page.evaluate("document.querySelectorAll('img').length") == 0
    assert await page.evaluate("document.querySelectorAll('script').length") == 3
    assert "<img src=x" in await page.evaluate("document.querySelector('.detail').textContent")


async def test_a_narrow_phone_needs_no_scrolling_to_the_side(page: Page, tmp_path: Path) -> None:
    await page.resize(360, 740, phone=True)
    await show(page, tmp_path, texts={"response": "w" * 3000, "subject": "s" * 200})
    await page.evaluate("document.querySelectorAll('.open-button').forEach(button => button.click())")
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    edge = "Math.max(...[...document.querySelectorAll('#head th')].map(one => one.getBoundingClientRect().right))"
    assert abs(await page.evaluate(edge) - 345) <= 2  # the table has the columns of its head, over its whole width
    # Nothing is hidden beyond the edge either, but for tables that scroll by themselves.
    beyond = (
        "[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, svg, .clip')"
        " && one.getBoundingClientRect().right > 361).map(one => one.outerHTML.slice(0, 80))"
    )
    assert await page.evaluate(beyond) == []


async def test_dark_colours_reach_the_figures(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path)
    colour = "getComputedStyle(document.querySelector('.xtick text')).fill"
    light = await page.evaluate(colour)
    await page.prefer(dark=True)
    await page.until(f"{colour} !== {light!r}")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"


async def test_paper_shows_figures_and_closed_rows(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path)
    await page.evaluate("document.querySelector('.open-button').click()")
    await page.call("Emulation.setEmulatedMedia", media="print")
    assert await page.evaluate("getComputedStyle(document.querySelector('.detail')).display") == "none"
    assert await page.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert await page.evaluate("document.querySelector('.plot svg').getBoundingClientRect().height") > 100
    boxes = "[...document.querySelectorAll('.plot-box')].every(box => box.contains(box.querySelector('svg'))"
    boxes += " && box.getBoundingClientRect().bottom >= box.querySelector('svg').getBoundingClientRect().bottom)"
    assert await page.evaluate(boxes)
    assert (await page.pdf()).startswith(b"%PDF")


async def test_withheld_texts_are_said_to_be_withheld(page: Page, tmp_path: Path) -> None:
    await show(page, tmp_path, task={"gated": True})
    assert "gated data set" in await page.evaluate("document.getElementById('questions').textContent")
    await page.evaluate("document.querySelector('.open-button').click()")
    assert "Texts are withheld" in await page.evaluate("document.querySelector('.detail').textContent")
    assert await page.evaluate("document.querySelector('#rows .clip').textContent") == "record-0"
