"""What the report shows beyond its records: figures, importances, jobs side by side, the page of the workspace."""

from __future__ import annotations

import base64
import hashlib
import html as entities
import importlib.util
import json
import math
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call
from test_report import EVIL, Workspace, add_evaluate, add_search, add_train, page_of, parsed

from runner import report
from runner.automl import importance
from runner.errors import JobFailed, SkillBankError, UnknownJob
from runner.jobs.record import OPTIONAL
from runner.report import compare, diagram, disk, index, make, page, paired, parallel, pictures, sidebyside
from stgcn.errors import DataError
from stgcn.graph import LAYOUTS
from stgcn.inspect import poses

EVALUATE = "pose_classification-evaluate-e1"
FRAMES, JOINTS = 12, 17
EDGES = [[i, i + 1] for i in range(JOINTS - 1)]


def walker(count: int = 4, persons: int = 1) -> np.ndarray:
    """(N, 2, T, 17, M): a chain that swings; the last four frames are padding."""
    t, v = np.arange(FRAMES)[:, None], np.arange(JOINTS)[None]
    one = np.stack([np.sin(t / 3 + v / 5) + v / 40, -v / 4 + 0 * t]).astype(np.float32)
    data = (
        np.repeat(one[None, ..., None], count, axis=0).repeat(persons, axis=4) + np.arange(count).reshape(-1, 1, 1, 1, 1) / 50
    )
    data[:, :, -4:] = 0
    return np.ascontiguousarray(data, dtype=np.float32)


def saved(folder: Path, data: np.ndarray) -> dict[str, Any]:
    """The array with a layout of its own, and what an evaluation writes down of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "test_data.npy"
    np.save(path, data)
    layout = {"name": "chain", "joints": [f"j{i}" for i in range(JOINTS)], "edges": EDGES, "center": 0}
    (folder / "layout.json").write_text(json.dumps(layout))
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}


def asked(folder: Path, facts: dict[str, Any], indices: list[int], layout: str | None = None) -> dict[str, Any]:
    spec = {"model": {"graph_layout": layout or str(folder / "layout.json")}}
    return poses.run({"action": "evaluate", "spec": spec, "facts": facts, "indices": indices})["metrics"]


def predictions(*rows: tuple[str, str, str, float]) -> str:
    lines = []
    for place, (name, truth, predicted, probability) in enumerate(rows):
        top = [{"class": predicted, "probability": probability}, {"class": truth, "probability": 1 - probability}]
        top = top[:1] if truth == predicted else top
        line = {"index": place, "sample": name, "truth": truth, "predicted": predicted, "probability": probability, "top": top}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


ROWS = (("w0", "walk", "walk", 0.97), ("w1", "walk", "run", 0.93), ("r0", "run", "run", 0.99), ("r1", "run", "walk", 0.175))


def evaluated(
    tmp_path: Path, rows: tuple[tuple[str, str, str, float], ...] = ROWS, data: np.ndarray | None = None
) -> Workspace:
    """A training and an evaluation whose data are really there."""
    ws = Workspace(tmp_path / "w")
    add_train(ws, "t", random.Random(0))
    record = add_evaluate(ws, "t")
    facts = saved(tmp_path / "data", walker() if data is None else data)
    record["artifacts"]["predictions"] = ws.file(EVALUATE, "predictions.jsonl", predictions(*rows))
    told = json.loads(Path(record["artifacts"]["data_facts"]).read_text())
    record["artifacts"]["data_facts"] = ws.file(EVALUATE, "data_facts.json", {"test": told["test"] | facts})
    record["spec"]["model"] = {"graph_layout": str(tmp_path / "data" / "layout.json")}
    return ws


def ask_here(ws: Workspace) -> pictures.Ask:
    def ask(job: str, indices: list[int]) -> dict[str, Any]:
        record = ws.records[job]
        facts = json.loads(Path(record["artifacts"]["data_facts"]).read_text())["test"]
        try:
            return poses.run({"action": "evaluate", "spec": record["spec"], "facts": facts, "indices": indices})["metrics"]
        except DataError as error:
            raise JobFailed("poses stopped", problems=error.problems) from None

    return ask


def shown(ws: Workspace, tmp_path: Path, ask: pictures.Ask | None = None) -> tuple[dict[str, Any], str]:
    built = ws.build()
    seen = pictures.take(built["evaluations"], ask or ask_here(ws))
    return built, page_of(report.write(built, tmp_path / "out", seen))


# ---- mistakes and their figures ---------------------------------------------------------------------------------------------


def test_only_answers_given_with_confidence_are_wrong_and_sure_of_it(tmp_path: Path) -> None:
    ws = evaluated(tmp_path)
    (told,) = ws.build()["evaluations"]
    assert told["wrong"] == {"answers": 4, "count": 2, "sure": 1, "sure_from": 0.8}
    assert [m["name"] for m in told["mistakes"]] == ["w1"]
    assert [(m["name"], m["index"], m["probability"]) for m in told["worst"]] == [("w1", 1, 0.93), ("r1", 3, 0.175)]
    assert told["worst"][0]["like"] == {"index": 2, "name": "r0", "probability": 0.99}
    assert told["worst"][0]["truth_probability"] == pytest.approx(0.07)
    page_text = page_of(report.write(ws.build(), tmp_path / "out"))
    assert "Wrong and sure of it" in page_text
    assert "17.5" not in page_text[page_text.index("Wrong and sure of it") :].split("</table>")[0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((("a", "walk", "run", 0.5),), "1 of 1 answer is wrong; none was given with 80"),
        ((("a", "walk", "run", 0.9), ("b", "walk", "walk", 0.9)), "1 of 2 answers is wrong; 1 of them was given with 80"),
    ],
)
def test_the_words_on_mistakes(tmp_path: Path, rows: tuple[tuple[str, str, str, float], ...], said: str) -> None:
    _, page_text = shown(evaluated(tmp_path, rows), tmp_path)
    text = " ".join("".join(parsed(page_text).words).replace("\u00a0", " ").split())
    assert said in text
    assert ("Wrong and sure of it" in text) == (rows[0][3] >= 0.8)


def test_no_mistake_is_said_at_the_top_and_has_no_section(tmp_path: Path) -> None:
    built, page_text = shown(evaluated(tmp_path, (("a", "walk", "walk", 0.5),)), tmp_path)
    assert {"kind": "plain", "text": "No wrong answer."} in built["verdict"]["glance"]
    assert 'id="mistakes"' not in page_text


def test_mistakes_are_shown_moving_and_as_strips(tmp_path: Path) -> None:
    _, page_text = shown(evaluated(tmp_path), tmp_path)
    films = re.findall(r'<svg class="film".*?</svg>', page_text, re.DOTALL)
    strips = re.findall(r'<svg class="poses".*?</svg>', page_text, re.DOTALL)
    assert len(films) == 4  # two mistakes, each beside a right answer
    assert len(strips) == 2
    for drawing in films + strips:
        root = ET.fromstring(drawing)
        assert root.get("aria-label")
        width = float(str(root.get("viewBox")).split()[2]) * (8 if "film" in str(root.get("class")) else 1)
        for path in root.iter("path"):
            at = [tuple(map(int, pair.split())) for pair in re.findall(r"(?<=[ML])-?\d+ -?\d+", str(path.get("d")))]
            assert at
            assert all(0 <= x <= width and 0 <= y <= 300 for x, y in at)
    group = ET.fromstring(films[0]).find("g")
    assert group is not None
    assert group.get("style") == "--n:8;--end:-1920px"  # eight frames that are there, of twelve
    assert "@keyframes film" in page_text
    assert "prefers-reduced-motion" in page_text
    assert page_text.count('type="checkbox"') == 1  # one switch pauses them all
    assert not {"script", "animate", "img"} & {tag for tag, _ in parsed(page_text).tags}


def test_a_report_of_200_sequences_stays_small(tmp_path: Path) -> None:
    rows = tuple((f"sequence_{i:03d}", "walk", "run" if i % 3 else "walk", 0.5 + i / 500) for i in range(200))
    ws = evaluated(tmp_path, rows, np.ascontiguousarray(walker(200, 2).repeat(25, axis=2)))
    _, page_text = shown(ws, tmp_path)
    assert page_text.count('class="mistake"') == 6
    assert len(page_text.encode()) < 800_000


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: np.save(path, walker() + 1), "has changed since the job read it"),
        (lambda path: np.save(path, walker(5)), "has changed since the job read it"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "is not a .npy file"),
    ],
)
def test_without_the_data_there_are_no_figures_and_the_report_says_why(tmp_path: Path, spoil: Any, said: str) -> None:
    ws = evaluated(tmp_path)
    spoil(tmp_path / "data" / "test_data.npy")
    _, page_text = shown(ws, tmp_path)
    assert 'class="film"' not in page_text
    assert "checkbox" not in page_text
    assert f"No pictures: {tmp_path}/data/test_data.npy {said}" in entities.unescape(page_text)
    assert "w1" in page_text


def broken(_: str, __: list[int]) -> dict[str, Any]:
    return {"sequences": {"1": {"poses": [[["a", 1]]], "frames": 3, "shown": [0]}}, "width": 9, "height": 9, "bones": []}


def refused(_: str, __: list[int]) -> dict[str, Any]:
    raise SkillBankError("the skill x has no tool 'poses'")


@pytest.mark.parametrize(("ask", "said"), [(broken, "cannot be drawn"), (refused, "has no tool"), (lambda *_: [], "cannot be")])
def test_a_tool_that_cannot_or_answers_nonsense_costs_only_the_pictures(tmp_path: Path, ask: Any, said: str) -> None:
    _, page_text = shown(evaluated(tmp_path), tmp_path, ask)
    assert said in page_text
    assert 'class="film"' not in page_text


def test_hostile_names_stay_text_beside_the_figures(tmp_path: Path) -> None:
    rows = tuple((name, EVIL[i - 1], EVIL[i], 0.9) for i, name in enumerate(EVIL[:4]))
    _, page_text = shown(evaluated(tmp_path, rows), tmp_path)
    seen = parsed(page_text)
    assert 'class="film"' in page_text
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in seen.tags}
    assert not [a for _, attributes in seen.tags for a in attributes if a.startswith("on")]
    assert all(name in "".join(seen.words) for name in EVIL[:2])


def test_the_tool_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    ws = evaluated(tmp_path)
    answer = make._asked("stgcn.inspect.poses:run", ws.records[EVALUATE], [1, 3])
    assert set(answer["sequences"]) == {"1", "3"}
    assert answer["layout"] == "chain"
    (tmp_path / "data" / "test_data.npy").unlink()
    with pytest.raises(JobFailed) as error:
        make._asked("stgcn.inspect.poses:run", ws.records[EVALUATE], [1])
    assert "does not exist" in str(error.value.problems)


def test_poses_of_two_persons_of_an_empty_sequence_and_of_a_lost_layout(tmp_path: Path) -> None:
    data = walker(3, 2)
    data[1] = 0
    data[2, :, :, 5] = 0  # a joint that nobody saw
    facts = saved(tmp_path, data)
    told = asked(tmp_path, facts, [0, 1, 2])
    assert [a for a, _, _ in told["bones"]] == [*range(16), *range(17, 33)]
    assert len(told["sequences"]["0"]["poses"][0]) == 2 * JOINTS
    assert told["sequences"]["0"]["frames"] == 8
    assert told["sequences"]["1"] == {"frames": 0, "shown": [], "poses": []}
    assert told["sequences"]["2"]["poses"][0][5] is None
    (tmp_path / "layout.json").unlink()
    without = asked(tmp_path, facts, [0], layout="/gone.json")  # a layout of as many joints is taken
    assert LAYOUTS[without["layout"]].num_joints == JOINTS
    with pytest.raises(DataError, match="there is none with the index 7"):
        asked(tmp_path, facts, [7])
    with pytest.raises(DataError, match="names no data"):
        asked(tmp_path, {}, [0])


# ---- importances, parallel coordinates, calibration -------------------------------------------------------------------------


def searched(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A search in which one setting decides: the space, and the trials."""
    draw = random.Random(2)
    blank = {"low": None, "high": None, "scale": "linear", "choices": [], "default": None, "title": ""}
    space = [
        {**blank, "key": "lr", "kind": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
        {**blank, "key": "width", "kind": "int", "low": 8, "high": 64},
        {**blank, "key": "kind", "kind": "enum", "choices": ["a", "b"]},
    ]
    trials = []
    for number in range(count):
        params = {"lr": 10 ** draw.uniform(-4, 0), "width": draw.randint(8, 64), "kind": draw.choice(["a", "b"])}
        value = (math.log10(params["lr"]) + 2) ** 2 + 0.02 * draw.random()
        trials.append({"number": number, "value": value, "params": params, "best": False})
    return space, trials


@pytest.mark.parametrize("learn", [pytest.param(True, marks=pytest.mark.slow), False])  # importing scikit-learn takes seconds
def test_the_setting_that_decides_is_the_most_important(learn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec("sklearn")
    if learn and not there:
        pytest.skip("scikit-learn, which fANOVA needs, is of the extra bench")
    monkeypatch.setattr(importance.importlib.util, "find_spec", lambda _: there if learn else None)
    space, trials = searched(20)
    trials[0]["params"].pop("lr")  # the spec as given may lie outside the range
    trials[1]["params"]["lr"] = 2.0  # moved beyond the range by a relation
    found = importance.importances(space, trials, minimise=True)
    assert found is not None
    name, used, shares = found
    assert (name, used) == ("fANOVA" if learn else "PED-ANOVA", 19)
    assert max(shares, key=shares.__getitem__) == "lr"
    assert shares["lr"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_trials_say_nothing_of_importance(tmp_path: Path) -> None:
    space, trials = searched(importance.FEWEST - 1)
    assert importance.importances(space, trials, minimise=True) is None
    assert importance.importances(space[:1], searched(20)[1], minimise=True) is None
    assert importance.importances(space, [t | {"value": 1.0} for t in searched(20)[1]], minimise=True) is None
    ws = Workspace(tmp_path)
    add_search(ws)
    (told,) = ws.build()["searches"]
    assert told["importance"]["why_not"] == "7 trials with a value; 15 are needed to tell"
    files = report.write(ws.build(), tmp_path / "out")
    assert "cannot be told: 7 trials with a value; 15 are needed to tell" in page_of(files)
    assert "cannot be told: 7 trials" in files["md"].read_text()


def test_parallel_coordinates_hold_every_trial_and_break_where_a_value_is_missing() -> None:
    space, trials = searched(9)
    trials[3]["params"].pop("width")
    trials[5]["params"]["kind"] = "c"  # no choice of the space
    trials[8]["value"] = None
    best = min(trials[:8], key=lambda t: t["value"])
    best["best"] = True
    drawn = parallel.coordinates({"space": space, "trials": trials, "metric": "val_loss", "direction": "minimize"})
    assert drawn is not None
    assert [axis["name"] for axis in drawn["axes"]] == ["lr", "width", "kind", "val_loss"]
    assert len(drawn["lines"]) == 8
    assert drawn["lines"][-1]["style"] == "best"
    assert drawn["lines"][-1]["d"].endswith(f" {drawn['top']:g}")  # the best is at the top of the last axis
    assert sum(line["d"].count("M") for line in drawn["lines"]) == 10
    for line in drawn["lines"]:
        assert all(drawn["top"] <= float(y) <= drawn["bottom"] for y in re.findall(r" ([\d.]+)", line["d"]))
    assert parallel.coordinates({"space": space[:1], "trials": trials, "metric": "m", "direction": "minimize"}) is None


def test_the_calibration_diagram_tells_too_sure_from_not_sure_enough() -> None:
    bins = [
        {"from": 0.5, "to": 0.6, "sequences": 10, "confidence": 55.0, "accuracy": 30.0},
        {"from": 0.9, "to": 1.0, "sequences": 40, "confidence": 91.0, "accuracy": 100.0},
        {"from": 0.0, "to": 0.1, "sequences": 0, "confidence": None, "accuracy": None},
        {"from": None, "to": 0.1, "sequences": 3, "confidence": 3.0, "accuracy": 3.0},
    ]
    drawn = diagram.calibration({"bins": bins})
    assert drawn is not None
    assert [bar["over"] for bar in drawn["bars"]] == [True, False]
    assert drawn["bars"][1]["many"]["height"] == 4 * drawn["bars"][0]["many"]["height"]
    assert drawn["says"] == "Calibration of 50 answers: 55 % promised, 30 % right of 10; 91 % promised, 100 % right of 40."
    assert diagram.calibration({"bins": bins[2:3]}) is None
    assert diagram.calibration(None) is None


def test_the_card_and_where_it_all_comes_from(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "w")
    add_train(ws, "t", random.Random(0))
    add_evaluate(ws, "t")
    built = ws.build()
    card = {fact["name"]: fact["value"] for fact in built["card"]}
    assert card["Sequences"] == "600 train, 120 val, 240 test"
    assert card["Classes"] == "6, 160 sequences each"
    assert card["Skeleton"] == "nvidia, 34 joints, 3 channels"
    assert card["Frames"] == "31 to 60, padded to 60"
    made = {entry["job"]: entry for entry in built["provenance"]}
    assert [d["split"] for d in made["t"]["data"]] == ["train", "val"]
    assert made["t"]["seed"] == 1234
    assert made[EVALUATE]["of"] == "t"
    assert made[EVALUATE]["spec_sha256"] == "ab" * 32
    assert "torch 2.13.0+cpu" in made["t"]["software"]
    text = report.write(built, tmp_path / "out")["md"].read_text()
    assert "| Skeleton" in text
    assert "## Provenance" in text


# ---- side by side -----------------------------------------------------------------------------------------------------------


def two(tmp_path: Path, mine: str, theirs: str, *, sha: str = "", **optim: Any) -> tuple[Workspace, dict[str, Any]]:
    """Two trainings whose evaluations got the letters ``r`` right and the others wrong; ``sha`` changes the second test set."""
    ws = Workspace(tmp_path / "w")
    for number, letters in enumerate((mine, theirs)):
        record = add_train(ws, f"t{number}", random.Random(number))
        if number:
            record["spec"]["train"]["optim"] |= optim
        job = f"e{number}"
        test = add_evaluate(ws, f"t{number}", job)
        rows = [(f"s{i}", "walking", "walking" if letter == "r" else "sitting", 0.9) for i, letter in enumerate(letters)]
        test["artifacts"]["predictions"] = ws.file(job, "predictions.jsonl", predictions(*rows))
        metrics = json.loads(Path(test["artifacts"]["metrics"]).read_text())
        metrics |= {"accuracy": 100 * letters.count("r") / len(letters), "sequences": len(letters)}
        test["artifacts"]["metrics"] = ws.file(job, "metrics.json", metrics)
        test["metrics"] = metrics
        if number and sha:
            facts = json.loads(Path(test["artifacts"]["data_facts"]).read_text())
            facts["test"]["sha256"] = sha
            test["artifacts"]["data_facts"] = ws.file(job, "data_facts.json", facts)
    made = compare.compare(
        [ws.records["t0"], ws.records["e1"]], ws.records, generated_at="2026-11-22T14:20:00Z", command=["skillbank", "report"]
    )
    disk.check(made, sidebyside.CONTRACT)
    return ws, made


def test_two_jobs_side_by_side(tmp_path: Path) -> None:
    _, made = two(tmp_path, "r" * 10 + "w" * 10, "r" * 20, lr=0.05)
    assert made["headline"] == "B is better: 100\u00a0% against 50.0\u00a0% of A"
    assert made["comparable"]
    assert (
        made["says"][0]
        == "B recognises 10 sequences that A does not, A 0 that B does not: more than chance would do (p\u00a0=\u00a00.002)."
    )
    assert [(s["label"], s["training"], s["evaluation"]) for s in made["sides"]] == [("A", "t0", "e0"), ("B", "t1", "e1")]
    assert made["settings"] == [{"key": "train.optim.lr", "values": [0.1, 0.05]}]
    metrics = {m["name"]: m for m in made["metrics"]}
    assert metrics["Accuracy"]["values"] == [50.0, 100.0]
    assert metrics["Accuracy"]["best"] == [False, True]
    assert metrics["Accuracy"]["intervals"][0][0] == pytest.approx(29.9, abs=0.1)
    assert metrics["Parameters"]["best"] == [False, False]  # the same on both sides
    assert {c["label"] for c in made["curves"]} == {"A", "B"}
    page_text = sidebyside.html(made)
    assert page_text.count("<svg") == 3
    assert "B less A" in page_text


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ("rrw", "rww", "No clear difference: A 66.7\u00a0% and B 33.3\u00a0%"),
        ("rrw", "rrw", "No clear difference: A 66.7\u00a0% and B 66.7\u00a0%"),
    ],
)
def test_a_difference_that_chance_would_make_is_none(tmp_path: Path, mine: str, theirs: str, said: str) -> None:
    _, made = two(tmp_path, mine, theirs)
    assert made["headline"] == said
    assert made["settings"] == []
    assert "None: all" in sidebyside.html(made)


def test_different_test_sets_are_not_comparable(tmp_path: Path) -> None:
    ws, made = two(tmp_path, "rrw", "rrr", sha="ff" * 32)
    assert made["headline"] == "Not comparable: the test sets differ"
    assert not made["comparable"]
    assert (made["pairs"], made["classes"]) == ([], [])
    metrics = {m["name"]: m["best"] for m in made["metrics"]}
    assert metrics["Accuracy"] == [False, False]
    assert True in metrics["Validation loss"]
    assert "cannot be set against each other" in sidebyside.html(made)
    ws.records.pop("e0")
    made = compare.compare([ws.records["t0"], ws.records["t1"]], ws.records, generated_at="", command=[])
    assert made["why_not"] == ["A was not evaluated"]


def test_hostile_names_stay_text_side_by_side(tmp_path: Path) -> None:
    ws, _ = two(tmp_path, "rrw", "rww")
    for number in (0, 1):
        test = add_evaluate(ws, f"t{number}", f"e{number}", EVIL)
        test["spec"]["evaluate"]["test_dataset"]["data_path"] = EVIL[0]
        ws.records[f"t{number}"]["spec"]["model"][EVIL[1]] = f"{EVIL[3]}{number}"
    made = compare.compare([ws.records["t0"], ws.records["t1"]], ws.records, generated_at="", command=[EVIL[0]])
    seen = parsed(sidebyside.html(made))
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in seen.tags}
    assert not [a for _, attributes in seen.tags for a in attributes if a.startswith("on")]
    assert all(name.strip() in "".join(seen.words) for name in EVIL)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 3, 0.25), (0, 10, 2 / 1024), (1, 9, 22 / 1024), (1500, 1600, 0.07539)],
)
def test_mcnemar(first: int, second: int, p: float) -> None:
    assert paired.mcnemar(first, second) == pytest.approx(p, rel=1e-3)
    assert paired.mcnemar(second, first) == paired.mcnemar(first, second)


def test_predictions_of_other_sequences_make_no_pair() -> None:
    a, b = {(0, "x"): ("walk", True)}, {(0, "y"): ("walk", True)}
    assert paired.all_pairs([("A", a), ("B", b), ("C", {})]) == []
    assert paired.all_pairs([("A", a), ("B", {(0, "x"): ("run", True)})]) == []


def evaluated_after(tmp_path: Path, given: str, best: str) -> dict[str, Any]:
    """The report of a search whose last evaluations, of the spec as given and the best, got the letters ``r`` right."""
    ws = Workspace(tmp_path / "w")
    study = add_search(ws, trials=4)
    rows = []
    for what, letters in (("baseline", given), ("best", best)):
        test = add_evaluate(ws, study["id"], f"final-{what}")
        test["study_job"] = study["id"]
        lines = [(f"s{i}", "walking", "walking" if letter == "r" else "sitting", 0.9) for i, letter in enumerate(letters)]
        test["artifacts"]["predictions"] = ws.file(test["id"], "predictions.jsonl", predictions(*lines))
        rows.append({"what": what, "number": 0, "job_id": test["id"], "metrics": {"accuracy": 50.0}, "error": None})
    study["automl"]["final"] = {
        "action": "evaluate",
        "metric": "accuracy",
        "inputs": {"x": "/t"},
        "why_not": None,
        "rows": rows,
    }
    told = ws.build(study["id"])
    disk.check(told, page.CONTRACT)
    return told


@pytest.mark.parametrize(
    ("given", "best", "note", "sentence"),
    [
        ("rrwww", "rrwrr", "cannot be told from chance", "recognises 2 sequences that the spec as given does not"),
        ("rrrw", "rrwr", "gained nothing", "The best trial recognises 1 sequence that the spec as given does not"),
        ("rrrr", "rrrw", "gained nothing", "the spec as given 1 that the best trial does not"),
        ("rrr", "rrr", "gained nothing", "The spec as given and the best trial are right and wrong on the very same"),
        (
            "r" * 12,
            "r" * 2 + "w" * 10,
            "is worse than the spec as given",
            "the spec as given 10 that the best trial does not: more",
        ),
        ("r" * 2 + "w" * 10, "r" * 12, "", "The best trial recognises 10 sequences that the spec as given does not"),
        ("rrr", "rr", "", ""),
    ],
)
def test_what_a_search_gained_is_told_from_chance(tmp_path: Path, given: str, best: str, note: str, sentence: str) -> None:
    told = evaluated_after(tmp_path, given, best)
    notes = [line for line in told["notes"] if "On the test set what the search" in line or " gained " in line]
    assert len(notes) == bool(note)
    assert all(note in line and sentence in line for line in notes)
    against = told["searches"][0]["final"]["against"]
    assert [one["what"] for one in against] == ["baseline"] * bool(sentence)
    assert all(sentence in one["says"] for one in against)
    files = page.write(told, tmp_path / "report")
    for kind in ("md", "html"):
        assert sentence in entities.unescape(files[kind].read_text()), kind


# ---- the page of the workspace, and the verb --------------------------------------------------------------------------------


def on_disk(ws: Workspace) -> Path:
    """The records where a store finds them."""
    for record in ws.list():
        path = ws.root / "jobs" / f"{record['id']}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**dict.fromkeys(OPTIONAL), "upload_excludes": [], "redacted": [], **record}))
    return ws.root


def indexed(tmp_path: Path) -> tuple[Path, str]:
    ws = Workspace(tmp_path / "w s")
    study = add_search(ws, trials=4)["id"]
    add_evaluate(ws, study)
    ws.records[EVALUATE]["spec"]["evaluate"]["test_dataset"]["data_path"] = f"/data/{EVIL[0]}/test_data.npy"
    failed = ws.job("pose_classification-train-ff", "train", state="ERROR", error={"message": EVIL[1]})
    assert failed
    root = on_disk(ws)
    report.write(ws.build(EVALUATE), root / "reports" / EVALUATE)
    made = sidebyside.make(index_store(root), [study, EVALUATE], None, [])
    assert made[0]["html"].parent.parent == root / "reports"
    page_path, _ = index.make(index_store(root), None, ["skillbank", "report", "--index"])
    return page_path, page_path.read_text()


def index_store(root: Path) -> Any:
    from runner.jobs import JobStore

    return JobStore(root)


def test_the_page_of_the_workspace(tmp_path: Path) -> None:
    page_path, text = indexed(tmp_path)
    seen = parsed(text)
    assert "3 jobs: 2 complete, 1 failed" in text
    assert "4 trials" in text
    links = [str(at["href"]) for tag, at in seen.tags if tag == "a" and not str(at["href"]).startswith("#")]
    assert sum(EVALUATE in link for link in links) == 3  # the evaluation, the search it tells of too, and the best of its data
    from urllib.parse import unquote

    assert all((page_path.parent / unquote(link)).is_file() for link in links)
    assert any("compare-" in link for link in links)
    assert not {"img", "iframe", "object", "embed"} & {tag for tag, _ in seen.tags}
    assert EVIL[1] in "".join(seen.words)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text  # nothing but this script can run
    assert "<" not in script.replace("<=", "")
    assert not re.search(r"https?://|url\(|@import", text)


def test_a_page_elsewhere_links_back_and_a_broken_report_costs_only_its_link(tmp_path: Path) -> None:
    page_path, _ = indexed(tmp_path)
    root = page_path.parent.parent
    out, jobs = index.make(index_store(root), tmp_path / "elsewhere", [])
    assert f"../w%20s/reports/{EVALUATE}/report.html" in out.read_text()
    assert len(jobs) == 3
    (root / "reports" / EVALUATE / "report.json").write_text("{")
    assert f"{EVALUATE}/report.html" not in index.make(index_store(root), None, [])[0].read_text()


def test_an_empty_workspace_has_a_page_too(tmp_path: Path) -> None:
    text = index.make(index_store(tmp_path), None, [])[0].read_text()
    assert "0 jobs" in text
    assert "No job yet" in text


@pytest.mark.parametrize("render", ["report", "compare", "index"])
def test_every_page_is_self_contained_and_accessible(tmp_path: Path, render: str) -> None:
    if render == "report":
        text = shown(evaluated(tmp_path), tmp_path)[1]
    elif render == "compare":
        text = sidebyside.html(two(tmp_path, "rrw", "rww")[1])
    else:
        text = indexed(tmp_path)[1]
    tags = parsed(text).tags
    names = [tag for tag, _ in tags]
    ids = [at["id"] for _, at in tags if "id" in at]
    assert text.startswith("<!doctype html>")
    assert len(ids) == len(set(ids))
    assert all(str(at["href"])[1:] in ids for tag, at in tags if tag == "a" and str(at["href"]).startswith("#"))
    assert all(at.get("aria-labelledby") in ids for tag, at in tags if tag == "section")
    assert (names.count("h1"), names.count("main"), names.count("header"), names.count("footer")) == (1, 1, 1, 1)
    assert names.count("table") == names.count("caption")
    assert all("scope" in at for tag, at in tags if tag == "th")
    assert all(at.get("role") == "img" and at.get("aria-label") for tag, at in tags if tag == "svg")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "name at least one JOB, or give --index"),
        (("--compare", "a", "a"), 2, "1 different job named"),
        (("--compare", *"abcdefghi"), 2, "9 different jobs named"),
        (("--index", "a"), 2, "takes no JOB"),
        (("--index", "--compare"), 2, "two different pages"),
        (("--compare", "a", "b"), 5, "no job 'a'"),
    ],
)
def test_what_the_verb_refuses(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = call("runner.cli", ("report", *words, "--workspace", str(tmp_path), "--json"), tmp_path, {})
    assert done.code == code
    assert said in done.envelope["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_the_verb_writes_all_three_pages(tmp_path: Path) -> None:
    root = on_disk(two(tmp_path, "rrw", "rww")[0])
    for words, names in (
        (("t0",), {"json", "md", "html"}),
        (("--compare", "t0", "t1"), {"json", "md", "html"}),
        (("--index",), {"html"}),
    ):
        done = call("runner.cli", ("report", *words, "--workspace", str(root), "--json"), tmp_path, {})
        assert done.code == 0, done.err
        assert set(done.envelope["data"]["report"]) == names
        assert all(Path(path).is_file() for path in done.envelope["data"]["report"].values())
    with pytest.raises(UnknownJob):
        sidebyside.make(index_store(root), ["t0", "t9"], None, [])
