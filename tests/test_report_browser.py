"""The pages of the report in a real browser: nothing on the console, nothing from the network, fits a phone, can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, executable
from test_report import add_evaluate, add_search
from test_report_views import EVALUATE, Workspace, evaluated, index_store, on_disk, two

from runner import report
from runner.report import index, pictures, sidebyside
from stgcn.inspect import poses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason="no Chromium here to look at the pages with: apt-get install chromium"),
]
# Text whose colour stands out too little from what is behind it: less than 4.5 to 1, or 3 to 1 where it is large.
FAINT = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (node) => {
    const layers = [];
    for (let n = node; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (node.closest("script, style, title")) continue;
    const style = getComputedStyle(node), ground = behind(node);
    const ink = over(rgba(node instanceof SVGElement ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + .05) / (b + .05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return [...new Set(found)];
})()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with figures and one with a search, a comparison, and the page of the workspace."""
    folder = tmp_path_factory.mktemp("pages")
    ws = evaluated(folder / "figures")
    built = ws.build()
    facts = {"path": str(folder / "figures" / "data" / "test_data.npy")}

    def ask(_: str, indices: list[int]) -> dict[str, object]:
        settings = {"action": "evaluate", "spec": ws.records[EVALUATE]["spec"], "facts": facts, "indices": indices}
        return poses.run(settings)["metrics"]

    figures = report.write(built, folder / "report", pictures.take(built["evaluations"], ask))["html"]
    search = Workspace(folder / "search")
    add_evaluate(search, add_search(search, trials=20)["id"])
    sides = two(folder / "two", "rrw", "rww", lr=0.05)[0]
    root = on_disk(sides)
    report.write(sides.build("e0"), root / "reports" / "e0")
    compared = sidebyside.make(index_store(root), ["t0", "t1"], None, ["skillbank"])[0]["html"]
    return {
        "report": figures,
        "search": report.write(search.build(), folder / "automl")["html"],
        "compare": compared,
        "index": index.make(index_store(root), None, ["skillbank"])[0],
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["report", "search", "compare", "index"])
def test_a_page_is_quiet_fits_and_can_be_read(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    browser.said.clear()
    browser.open(pages[name], width=width, dark=dark)
    assert browser.said == []
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(FAINT) == []


def test_the_figures_move_and_can_be_paused_with_the_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    running = "document.getAnimations().filter(a => a.animationName === 'film').map(a => a.playState)"
    browser.open(pages["report"], still=False)
    assert set(browser.ask(running)) == {"running"}
    assert browser.ask("document.querySelector('.when-moving').checkVisibility()")
    browser.ask("document.querySelector('.switch').focus()")
    browser.press(" ", 32)
    assert set(browser.ask(running)) == {"paused"}
    browser.open(pages["report"], still=True)
    assert set(browser.ask(running)) == {"paused"}
    assert browser.ask("document.querySelector('.when-still').checkVisibility()")
    browser.ask("document.querySelector('.switch').focus()")
    browser.press(" ", 32)
    assert set(browser.ask(running)) == {"running"}


def test_the_first_stop_of_the_keyboard_skips_to_the_results(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report"])
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.textContent") == "Skip to the results"
    assert browser.ask("document.activeElement.getBoundingClientRect().left") >= 0


def test_a_screen_reader_is_told_names_and_landmarks(browser: Browser, pages: dict[str, Path]) -> None:
    for path in pages.values():
        browser.open(path)
        nodes = [node for node in browser.tree() if not node.get("ignored")]
        told = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
        roles = [role for role, _ in told]
        assert {"main", "banner", "contentinfo", "heading", "table"} <= set(roles)
        named = ("image", "region", "table", "checkbox", "button", "link", "navigation")
        assert [role for role, name in told if role in named and not name.strip()] == []


def test_a_click_on_a_column_sorts_the_jobs(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["index"])
    column = "[...document.querySelectorAll('.sortable tbody tr')].map(r => r.cells[5].dataset.v).filter(v => v).map(Number)"
    click = "document.querySelectorAll('.sortable thead button')[5].click()"
    browser.ask(click)
    up = browser.ask(column)
    assert up == sorted(up)
    assert len(set(up)) > 1
    assert browser.ask("document.querySelectorAll('.sortable thead th')[5].getAttribute('aria-sort')") == "ascending"
    browser.ask(click)
    assert browser.ask(column) == up[::-1]


def test_it_prints(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    for name, path in pages.items():
        browser.open(path, media="print")
        assert browser.ask("document.querySelectorAll('nav')[0]?.checkVisibility() ?? false") is False
        browser.pdf(tmp_path / f"{name}.pdf")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
