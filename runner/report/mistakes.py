"""The wrong answers of an evaluate job: how many, those given with confidence, the worst ones with what they were taken for.

Reads predictions.jsonl line by line; knows nothing of pictures.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from runner.report.artifacts import Artifacts
from runner.report.collect import Record
from runner.report.results import count, number, text

SURE = 0.8  # probability from which a wrong answer counts as given with confidence
MOST = 10  # sure mistakes that are listed
WORST = 6  # mistakes that are shown moving


def told(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """``wrong`` (how many answers, wrong ones, sure ones; None without predictions), ``mistakes`` (the sure ones), ``worst``.

    The worst are the likeliest of the wrong answers, sure or not; ``like`` is the surest right answer of the class that was
    said, to look at beside it.
    """
    answers = (answer for answer in map(_answer, artifacts.lines(record, "predictions")) if answer)
    wrong, right, seen = _sorted(answers)
    if not seen:
        return {"wrong": None, "mistakes": [], "worst": []}
    ordered = heapq.nlargest(max(MOST, WORST), wrong, key=lambda answer: float(answer["probability"]))
    sure = sum(answer["probability"] >= SURE for answer in wrong)
    return {
        "wrong": {"answers": seen, "count": len(wrong), "sure": sure, "sure_from": SURE},
        "mistakes": [answer for answer in ordered[:MOST] if answer["probability"] >= SURE],
        "worst": [{**answer, "like": right.get(answer["predicted"])} for answer in ordered[:WORST]],
    }


def _sorted(answers: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], int]:
    """The wrong answers, the surest right one of each class, and how many there are in all."""
    wrong: list[dict[str, Any]] = []
    right: dict[str, dict[str, Any]] = {}
    seen = 0
    for answer in answers:
        seen += 1
        said = answer["predicted"]
        if answer["truth"] != said:
            wrong.append(answer)
        elif said not in right or answer["probability"] > right[said]["probability"]:
            right[said] = {key: answer[key] for key in ("index", "name", "probability")}
    return wrong, right, seen


def _answer(line: dict[str, Any]) -> dict[str, Any] | None:
    """One line of predictions.jsonl; None when it does not say all of it."""
    truth, predicted, probability = text(line.get("truth")), text(line.get("predicted")), number(line.get("probability"))
    if truth is None or predicted is None or probability is None:
        return None
    top = line.get("top")
    rest = [entry for entry in top if isinstance(entry, dict)] if isinstance(top, list) else []
    return {
        "index": count(line.get("index")),
        "name": str(line.get("sample", "")),
        "truth": truth,
        "predicted": predicted,
        "probability": probability,
        "truth_probability": next((number(entry.get("probability")) for entry in rest if entry.get("class") == truth), None),
    }
