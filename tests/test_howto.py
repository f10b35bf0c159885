"""Every training that a page proposes on a data set of one's own can be planned: its settings go together."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from runner import cli
from stgcn import sample

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("skills/*/**/*.md"))]
ELSEWHERE = re.compile(
    r"JOB|SPEC|FILE|skeleton.yaml|s3://|\.pth|\.tlt|--resume|--plan |--dry-run"
)  # needs what these tests have not


def trainings(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line.split(" # ")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if re.match(r"skillbank (run|plan) \S+ train .*--dataset \S+", line)]
    return [line for line in dict.fromkeys(found) if not ELSEWHERE.search(line)]


COMMANDS = [(page.name, command) for page in PAGES for command in trainings(page)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    sample.write_sample(folder, per_class=(1, 1, 1), frames=12)
    return folder


def test_the_pages_propose_trainings() -> None:
    assert {"README.md", "automl.md", "gpus.md", "deepstream.md", "small-data.md", "SKILL.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(COMMANDS)])
def test_a_proposed_training_can_be_planned(page: str, command: str, data: Path, tmp_path: Path) -> None:
    words = shlex.split(command)[2:]
    words[words.index("--dataset") + 1] = str(data)
    words = [word for word in words if word not in ("--json", "--detach")]  # of `run` alone, as is the name of a job
    if "--job-id" in words:
        del words[words.index("--job-id") : words.index("--job-id") + 2]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main(["plan", *words, "--workspace", str(tmp_path / "workspace"), "--json"])
    assert code == 0, f"{page}: {command}\n{json.loads(said.getvalue())['error']}"
