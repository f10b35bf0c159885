"""The site: each page is in it, anchors lead somewhere, what comes from the code is fresh, nothing comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runner import bank, cli, tao_cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINKING = [*PAGES, ROOT / "README.md", ROOT / "AGENTS.md", *ROOT.glob("references/*.md"), *ROOT.glob("skills/*/**/*.md")]
DRAWINGS = sorted((DOCS / "images").glob("*.svg"))
REMOTE = re.compile(r"""(?:src=|url\(|@import\s+)["']?(?:https?:)?//|<link[^>]+href=["'](?:https?:)?//""")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().strip()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if not n else f"{slug}-{n}" for slug, count in found.items() for n in range(count + 1)}


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_anchors_lead_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    inside = [(target, anchor) for target, anchor in links if "://" not in target]
    assert [f"{t}#{a}" for t, a in inside if a not in anchors((page.parent / t).resolve() if t else page)] == []


def test_the_index_names_every_page_under_one_of_the_four_kinds() -> None:
    trees = re.findall(r"```\{toctree\}\n:caption: ([^\n]+)\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.S)
    kinds = [kind for kind, _ in trees]
    assert kinds[:4] == ["Tutorial", "How to", "Reference", "Explanation"]
    named = [line for _, body in trees for line in body.split("\n") if re.fullmatch(r"[a-z0-9-]+", line)]
    assert sorted(named) == [page.stem for page in PAGES if page.stem != "index"]
    outside = {line for _, body in trees for line in body.split("\n") if line.startswith("../references/")}
    assert outside == {f"../references/{page.stem}" for page in ROOT.glob("references/*.md")}


def test_pages_and_drawings_from_the_code_are_fresh() -> None:
    done = subprocess.run([sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_has_its_row() -> None:
    skill = bank.get("tao-train-pose-classification")
    rows = re.findall(r"^\| `([\w.]+)`[^|]*\| (.+?) \| (.+?) \| (.+) \|$", (DOCS / "settings.md").read_text("utf-8"), re.M)
    assert {row[0] for row in rows} == {key for action in skill.actions for key in skill.schema(action).leaves()}
    learning_rate = next(row for row in rows if row[0] == "train.optim.lr")
    assert learning_rate[1:3] == ("number, 0.0 to 10.0", "`0.1`; recipe `0.003`")
    assert "Searched from 0.0001 to 0.3, logarithmically" in learning_rate[3]


def test_every_verb_and_flag_has_its_row() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for title, parser in (("skillbank", cli.build_parser()), ("pose_classification", tao_cli.build_parser())):
        verbs = next(action for action in parser._actions if action.dest == "==SUPPRESS==" and action.choices)
        common = text.split(f"## {title}\n")[1].split("### ")[0]
        for verb, sub in dict(verbs.choices).items():
            section = re.search(rf"^### {title} {verb}\b.*?(?=^##|\Z)", text, re.M | re.S)
            assert section, f"{title} {verb}"
            flags = {flag for action in sub._actions if "-h" not in action.option_strings for flag in action.option_strings}
            assert [flag for flag in flags if f"`{flag}" not in section[0] + common] == [], f"{title} {verb}"


@pytest.mark.parametrize("path", DRAWINGS, ids=name_of)
def test_drawings_stand_alone_in_light_and_dark(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"(?:href|src)=|url\((?!#)", text)


def test_there_are_the_drawings_that_the_explanation_shows() -> None:
    shown = re.findall(r"!\[([^\]]+)\]\(images/(\w+)\.svg\)", (DOCS / "graph-networks.md").read_text("utf-8"))
    assert {name for _, name in shown} == {path.stem for path in DRAWINGS}
    assert all(len(words) > 60 for words, _ in shown)  # what it shows, for those who do not see it


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the site needs the extra: pip install -e '.[docs]'")
    words = ("-W", "--keep-going", "-q", "-c", str(DOCS), "-d", str(tmp_path / "trees"), str(ROOT), str(tmp_path / "site"))
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.stem for path in (tmp_path / "site" / "docs").glob("*.html")}
    assert made == {page.stem for page in PAGES}
    read = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css", ".svg")]
    assert [str(path) for path in read if REMOTE.search(path.read_text(encoding="utf-8"))] == []
    assert "docs/index.html" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
