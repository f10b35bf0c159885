"""Documents are under test: links, commands, keys, states, exit codes, front matter and evals say what the code does."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import skills_ref
import yaml

from runner import bank, cli, errors, jobs, spec, tao_cli

ROOT = Path(__file__).resolve().parents[1]
SKILL = ROOT / "skills" / "tao-train-pose-classification"
SKILLS = sorted(path.parent for path in ROOT.glob("skills/*/SKILL.md"))
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "references/*.md", "skills/*/SKILL.md", "skills/*/references/*.md")
    for path in ROOT.glob(pattern)
)
TRIGGERS = ("train pose classification", "skeleton action recognition", "ST-GCN", "keypoint sequence classifier")
STATES = ("PENDING", "RUNNING", "COMPLETE", "ERROR", "CANCELED", "UNKNOWN")
ACTIONS = ("dataset_convert", "train", "evaluate", "export", "inference")
# The sections a dotted spec key begins with; other dotted words in backticks are modules, files or answers.
SECTIONS = ("dataset", "model", "train", "evaluate", "export", "inference", "dataset_convert", "wandb")
FILE_ENDINGS = ("json", "yaml", "npy", "pkl", "md", "py", "csv", "onnx", "txt", "pth", "html", "log")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="session")
def loaded() -> Any:
    return bank.get(SKILL.name)


@pytest.fixture(scope="session")
def known_keys(loaded: Any) -> set[str]:
    """Every dotted key of the five schemas: settings and the groups above them."""
    leaves = {key for action in loaded.actions for key in loaded.schema(action).leaves()}
    return leaves | {key.rsplit(".", n)[0] for key in leaves for n in range(1, key.count(".") + 1)}


def frontmatter(folder: Path) -> dict[str, Any]:
    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    return yaml.safe_load(text.split("---\n")[1])


def fenced(path: Path, languages: tuple[str, ...]) -> Iterator[str]:
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
        if language in languages:
            yield body


def quoted_commands(path: Path) -> list[str]:
    """Commands in fenced blocks, and commands with arguments in backticks."""
    lines = "\n".join(body.replace("\\\n", " ") for body in fenced(path, ("bash",))).splitlines()
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    # A span of two words, such as `skillbank run`, names a verb and is no call.
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if len(span.split()) > 2 or span == "skillbank list"]
    found = [line.split(" # ")[0].strip() for line in lines]
    return [line for line in found if line.startswith(("skillbank ", "pose_classification ")) and "..." not in line]


ALL_COMMANDS = [(name_of(path), command) for path in DOCUMENTS for command in dict.fromkeys(quoted_commands(path))]


# --- skills as the Agent Skills specification has them ---


@pytest.mark.parametrize("folder", SKILLS, ids=lambda f: f.name)
def test_skill_passes_the_reference_validator(folder: Path) -> None:
    assert skills_ref.validate(folder) == []


@pytest.mark.parametrize("folder", SKILLS, ids=lambda f: f.name)
def test_skill_is_short_and_carries_its_metadata(folder: Path) -> None:
    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    head = frontmatter(folder)
    assert len(text.splitlines()) < 300
    assert len(text) <= 20_000
    assert len(head["description"]) <= 500
    assert head["metadata"] == {"author": "tao-skill-bank contributors", "version": bank.version()}
    assert head["license"] == "Apache-2.0"
    assert "pip install tao-skill-bank" in text


def test_descriptions_together_leave_room_for_others() -> None:
    assert sum(len(frontmatter(folder)["description"]) for folder in SKILLS) < 2500


def test_the_description_holds_the_trigger_phrases() -> None:
    assert [t for t in TRIGGERS if t not in frontmatter(SKILL)["description"]] == []


WORDS = "skeleton joints keypoints OpenPose MediaPipe YOLO-pose NTU gesture fall exercise sign ST-GCN ONNX .npy Not"


def test_the_description_holds_the_words_people_use() -> None:
    assert [word for word in WORDS.split() if word not in frontmatter(SKILL)["description"]] == []


def test_versions_agree(loaded: Any) -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {frontmatter(folder)["metadata"]["version"] for folder in SKILLS} == {version}
    assert loaded.version == version
    assert f"[{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- links, lengths, paths ---


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_relative_links_resolve(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("folder", SKILLS, ids=lambda f: f.name)
def test_a_skill_links_only_into_its_own_folder(folder: Path) -> None:
    for path in folder.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert "://" in link or (path.parent / link).resolve().is_relative_to(folder), f"{path}: {link}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_paths_in_backticks_exist(path: Path) -> None:
    """`references/x.yaml` in a skill is its own, else the bank's; patterns and generated names are expanded."""
    words = re.findall(r"`((?:references|schemas|scripts|docs|evals|bench|tests|skills)/[\w./*-]+)`", path.read_text("utf-8"))
    words = [word for word in words if not re.search(r"/[A-Z]+/", word)]  # a placeholder
    own = next((folder for folder in SKILLS if path.is_relative_to(folder)), SKILL)
    assert [w for w in words if not any(list(base.glob(w.rstrip("/"))) for base in (own, SKILL, ROOT))] == []


def test_agents_md_is_short() -> None:
    assert len((ROOT / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 45


def test_the_readme_opens_with_the_two_commands() -> None:
    first = next(fenced(ROOT / "README.md", ("bash",)))
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    before = (ROOT / "README.md").read_text(encoding="utf-8").split("```bash")[0]
    assert before.strip() == "# tao-skill-bank"


# --- commands ---


@pytest.mark.parametrize(("document", "command"), ALL_COMMANDS)
def test_every_quoted_command_parses(document: str, command: str) -> None:
    words = shlex.split(command)
    parser = cli.build_parser() if words[0] == "skillbank" else tao_cli.build_parser()
    placeholders = {"SKILL": SKILL.name, "ACTION": "train"}
    parsed = parser.parse_args([placeholders.get(word, word) for word in words[1:]])
    if getattr(parsed, "skill", None) and isinstance(parsed.skill, str):
        skill = bank.get(parsed.skill)
        assert getattr(parsed, "action", None) is None or parsed.action in skill.actions


def test_enough_commands_are_found() -> None:
    verbs = {shlex.split(command)[1] for _, command in ALL_COMMANDS if command.startswith("skillbank ")}
    expected = {"list", "show", "match", "plan", "validate", "run", "status", "logs", "wait", "cancel", "report", "schemas"}
    assert expected - verbs == set()
    assert {shlex.split(c)[1] for _, c in ALL_COMMANDS if c.startswith("pose_")} >= {*ACTIONS, "sample_data"}


@pytest.mark.parametrize(("document", "command"), ALL_COMMANDS)
def test_settings_in_commands_exist_and_are_valid(document: str, command: str, loaded: Any) -> None:
    words = shlex.split(command)
    ranges = {word for flag, word in pairwise(words) if flag in ("--search", "--slurm", "--kubernetes")}
    assigned = [w for w in words if re.match(r"[a-z_.]+=", w) and not re.match(r"(trials|time|epochs|key)=", w)]
    assigned = [word for word in assigned if word not in ranges]
    overrides = spec.expand_shorthand([spec.parse_override(word) for word in assigned], loaded.shorthand)
    if not overrides:
        return
    action = "train" if words[1] == "automl" else next(word for word in words if word in ACTIONS)
    schema = loaded.schema(action)
    nested = schema.defaults()
    for key, value in overrides:
        assert key in schema.leaves(), f"{document}: {key} is no setting of {action}"
        spec.set_(nested, key, value)
    assert schema.problems(schema.coerce(nested)) == []


@pytest.mark.parametrize(("document", "body"), [(name_of(p), b) for p in DOCUMENTS for b in fenced(p, ("yaml",))])
def test_spec_snippets_are_valid(document: str, body: str, loaded: Any) -> None:
    schema = loaded.schema("train")
    merged = spec.merge(schema.defaults(), yaml.safe_load(body), schema.map_leaves())
    assert schema.problems(merged) == []


# --- keys and tables ---


def dotted(path: Path) -> set[str]:
    words = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", path.read_text(encoding="utf-8"))
    return {w for w in words if w.split(".")[0] in SECTIONS and w.rsplit(".", 1)[1] not in FILE_ENDINGS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_spec_keys_in_backticks_exist(path: Path, known_keys: set[str]) -> None:
    assert dotted(path) - known_keys == set()


def rows(path: Path, first: str) -> list[list[str]]:
    """The rows of the table whose head begins with the cell ``first``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_the_defaults_in_tables_are_the_schemas(loaded: Any) -> None:
    plain = [row for row in rows(SKILL / "SKILL.md", "Setting") if re.fullmatch(r"`[\w.]+`", row[0]) and "..." not in row[1]]
    converted = [row for row in rows(SKILL / "references" / "spec-overrides.md", "Setting") if row[0].count("`") == 2]
    for action, table in (("train", plain), ("dataset_convert", converted)):
        defaults = loaded.schema(action).defaults()
        for row in table:
            key = row[0].strip("`")
            assert str(spec.get(defaults, key)) == row[1], key
    assert len(plain) >= 8
    assert len(converted) >= 6


def test_the_shorthand_table_is_complete(loaded: Any) -> None:
    table = {r[0].strip("`"): r[1].strip("`") for r in rows(SKILL / "references" / "spec-overrides.md", "Short")}
    assert table == loaded.shorthand


def test_the_dataset_table_is_what_data_sources_say(loaded: Any) -> None:
    table = [r for r in rows(SKILL / "SKILL.md", "Action") if len(r) == 4]
    head = next(i for i, line in enumerate((SKILL / "SKILL.md").read_text().splitlines()) if "| Spec key |" in line)
    lines = (SKILL / "SKILL.md").read_text(encoding="utf-8").splitlines()[head + 2 :]
    said = {}
    for line in lines:
        if not line.startswith("|"):
            break
        action, key, files, required = [cell.strip() for cell in line.strip("|").split("|")]
        said[action.strip("`"), key.strip("`")] = (re.findall(r"`([^`]+)`", files), required.startswith("yes"))
    for (action, key), (files, required) in said.items():
        source = loaded.actions[action].data_sources[key]["path"]
        assert files == ([source] if isinstance(source, str) else source), key
        assert required is not loaded.actions[action].inputs[key].get("optional", False), key
    declared = {
        (name, key)
        for name, action in loaded.actions.items()
        for key, source in action.data_sources.items()
        if "path" in source and "read" not in source
    }
    assert declared == set(said)
    assert {r[0].strip("`") for r in table} == set(loaded.actions)


def test_the_inference_table_is_what_spec_params_say(loaded: Any) -> None:
    text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
    section = text.split("**Inferred settings.**")[1].split("## ")[0]
    for name, action in loaded.actions.items():
        for key, function in action.spec_params.items():
            assert f"`{function}`" in section, f"{name} {key}"
            own = key == f"{name}.results_dir" or key == "results_dir"
            assert f"`{key}`" in section or own, f"{name} {key}"


def test_layouts_and_their_joints_are_right() -> None:
    from stgcn.graph import LAYOUTS

    table = {row[0]: int(row[1]) for row in rows(ROOT / "docs" / "data-format.md", "`model.graph_layout`")}
    assert table == {name: layout.num_joints for name, layout in LAYOUTS.items()}
    said = next(
        line for line in (SKILL / "SKILL.md").read_text("utf-8").splitlines() if line.startswith("| `model.graph_layout`")
    )
    assert dict(re.findall(r"([\w.+-]+) (\d+)", said)) == {name: str(layout.num_joints) for name, layout in LAYOUTS.items()}


# --- vocabulary ---


def test_job_states_are_said_once_and_right() -> None:
    table = rows(ROOT / "references" / "job-states.md", "State")
    assert tuple(row[0] for row in table) == STATES
    contract = bank.contract("job_record")
    assert contract["$defs"]["state"]["enum"] == list(STATES)
    assert [row[0] for row in table if row[2] == "yes"] == [state for state in STATES if state in jobs.TERMINAL]
    for folder in SKILLS:
        text = " ".join((folder / "SKILL.md").read_text(encoding="utf-8").split())
        assert "PENDING, RUNNING, COMPLETE, ERROR, CANCELED, UNKNOWN" in text


def test_exit_codes_are_those_of_the_errors() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.SkillBankError)]
    real = {c.__name__: c.exit_code for c in classes if c is not errors.SkillBankError}
    table = {int(row[0]): re.findall(r"`(\w+)`", row[2]) for row in rows(ROOT / "references" / "exit-codes.md", "Code")}
    assert {name: code for code, names in table.items() for name in names} == real
    assert set(table) == {*range(10), 130, 143}


@pytest.mark.parametrize("folder", SKILLS, ids=lambda f: f.name)
def test_skills_name_every_exit_code(folder: Path) -> None:
    text = " ".join((folder / "SKILL.md").read_text(encoding="utf-8").split())
    sentence = re.search(r"0 ok, 1 the job failed.*?ended by a signal", text)
    assert sentence
    assert set(map(int, re.findall(r"(?<![\w])\d+", sentence[0]))) == {*range(10), 130, 143}


def test_the_glossary_knows_the_actions_of_the_skill(loaded: Any) -> None:
    said = next(row for row in rows(ROOT / "references" / "glossary.md", "Word") if row[0] == "action")
    assert set(re.findall(r"`(\w+)`", said[1])) == set(loaded.actions)


def test_the_envelope_is_the_one_the_command_line_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["match", "train pose classification", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    keys = [row[0].strip("`") for row in rows(ROOT / "references" / "envelope.md", "Key")]
    assert list(answer) == keys
    said = next(row for row in rows(ROOT / "references" / "envelope.md", "Verb") if row[0] == "`match`")
    assert set(answer["data"]) == set(re.findall(r"`(\w+)`", said[1])) - {"on", "off"}
    for folder in (SKILL / "SKILL.md", ROOT / "README.md"):
        assert "{" + ", ".join(f'"{key}"' for key in keys) + "}" in folder.read_text(encoding="utf-8")


def test_the_prescribed_words_are_there(loaded: Any) -> None:
    words = f"not run: {loaded.actions['dataset_convert'].not_run_reason}"
    assert words == "not run: preconverted dataset provided"
    assert words in (SKILL / "SKILL.md").read_text(encoding="utf-8")


# --- evals ---

EVALS = [(folder.name, case) for folder in SKILLS for case in json.loads((folder / "evals" / "evals.json").read_text("utf-8"))]


@pytest.mark.parametrize("folder", SKILLS, ids=lambda f: f.name)
def test_evals_follow_their_contract(folder: Path) -> None:
    cases = json.loads((folder / "evals" / "evals.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(bank.contract("evals")).validate(cases)
    ids = [case["id"] for case in cases]
    assert len(ids) == len(set(ids))
    assert all("execute nothing" in case["question"] for case in cases)


def test_the_main_skill_has_evals_for_every_action() -> None:
    cases = [case for name, case in EVALS if name == SKILL.name]
    assert {case["expected_action"] for case in cases if case["expected_skill"]} == set(ACTIONS)


# --- the script a foreign runner calls ---


def script(*words: str, isolated: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-I", "-S"] if isolated else []), str(SKILL / "scripts" / "run_action.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_run_action_hands_on_to_the_command_line(tmp_path: Path) -> None:
    broken = tmp_path / "spec.yaml"
    broken.write_text("train:\n  num_epoch: 3\n", encoding="utf-8")
    for words in (("--spec", str(broken)), (f"--spec={broken}",), ("-e", str(broken))):
        done = script("train", *words, f"results_dir={tmp_path}")
        assert done.returncode == 3, done.stderr
        assert "num_epoch" in done.stderr
        assert "Traceback" not in done.stderr


def test_run_action_says_how_to_install_when_the_package_is_missing() -> None:
    done = script("train", "--spec", "spec.yaml", isolated=True)
    assert done.returncode == 7
    assert "pip install tao-skill-bank" in done.stderr
