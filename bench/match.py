"""How well `skillbank match` understands: precision, recall, action and policy accuracy over the skills' own evals.

A third of the prompts was held back while the words were chosen; its figures stand beside the others. Times one match, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from runner import bank, match

ENDING = " Only explain what you would do; execute nothing."
FIGURES = ("precision", "recall", "action accuracy", "policy accuracy")
LANGUAGES = {"en": "English", "de": "German", "es": "Spanish", "zh": "Chinese"}


def main() -> int:
    """Measure, print tables and, on request, write JSON; 1 when a figure of all prompts is below the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--misses", action="store_true", help="list the prompts that were not understood")
    parser.add_argument("--floor", type=float, default=0.9, help="every figure of all prompts must reach this (default 0.9)")
    options = parser.parse_args()
    answers = [*judged(prompts())]
    result = {"groups": {name: figures(group) for name, group in groups(answers).items()}, "milliseconds": milliseconds()}
    show(result)
    if options.misses:
        misses = [answer for answer in answers if not answer["right"]]
        print(*(f"{a['id']}: {a['prompt']}\n    {a['found']} instead of {a['expected']}" for a in misses), sep="\n")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["groups"]["all"][figure] >= options.floor for figure in FIGURES) else 1


def prompts(names: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The evals of the skills of these names, or of all."""
    chosen = [one for one in bank.skills() if not names or one.name in names]
    return [case for one in chosen for case in json.loads((one.dir / "evals" / "evals.json").read_text("utf-8"))]


def judged(cases: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """What the matcher makes of each prompt beside what was expected; the words that forbid execution are left out."""
    skills = [Heard(one) for one in bank.skills()]
    for case in cases:
        prompt = case["question"].removesuffix(ENDING)
        found = match.match(prompt, skills)
        policy = (found.automl_policy or "on") if case["expected_automl_policy"] else None
        said = (found.skill, found.action, found.automl_policy if found.skill else None, policy)
        word = case["expected_automl_word"]
        meant = (case["expected_skill"], case["expected_action"], word, case["expected_automl_policy"])
        yield {
            **{key: case[key] for key in ("id", "language", "split")},
            "prompt": prompt,
            "found": said,
            "expected": meant,
            "right": said == meant,
        }


class Heard:
    """A skill with its files read once."""

    def __init__(self, entry: Any) -> None:
        self.name, self.description, self.info, self.words = entry.name, entry.description, entry.info, entry.words


def groups(answers: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """All answers, the tuned and the held back ones, those of each language, and the held back ones of each language."""
    chosen: dict[str, Callable[[dict[str, Any]], bool]] = {
        "all": lambda _: True,
        "tuned": lambda a: a["split"] == "tuned",
        "held back": lambda a: a["split"] == "held_back",
    }
    for code, name in LANGUAGES.items():
        chosen[name] = lambda a, code=code: a["language"] == code
    return {name: [answer for answer in answers if test(answer)] for name, test in chosen.items()}


def figures(answers: list[dict[str, Any]]) -> dict[str, float]:
    """Shares of 1. A wrong skill counts against precision and recall; a wrong or missing skill has the wrong action, too."""
    named = [a for a in answers if a["found"][0]]
    meant = [a for a in answers if a["expected"][0]]
    right = sum(a["found"][0] == a["expected"][0] for a in named)
    actions = [a for a in meant if a["expected"][1]]
    policies = [a for a in meant if a["expected"][3]]
    return {
        "prompts": len(answers),
        "precision": share(right, len(named)),
        "recall": share(right, len(meant)),
        "action accuracy": share(sum(a["found"][:2] == a["expected"][:2] for a in actions), len(actions)),
        "policy accuracy": share(sum(a["found"][0::3] == a["expected"][0::3] for a in policies), len(policies)),
    }


def share(part: int, whole: int) -> float:
    """Of nothing, all."""
    return round(part / whole, 4) if whole else 1.0


def milliseconds() -> dict[str, float]:
    """What one match costs: with the words read and parsed anew, and with everything at hand."""
    phrase = "train pose classification on my keypoints, no HPO"
    entries = bank.skills()
    fresh, warm = [], []
    for _ in range(15):
        begin = time.perf_counter()
        match.match(phrase, entries)
        fresh.append(time.perf_counter() - begin)
    heard = [Heard(one) for one in entries]
    for _ in range(15):
        begin = time.perf_counter()
        match.match(phrase, heard)
        warm.append(time.perf_counter() - begin)
    return {"from files": round(statistics.median(fresh) * 1000, 2), "in memory": round(statistics.median(warm) * 1000, 2)}


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'prompts':<12}{'':>6}" + "".join(f"{name:>17}" for name in FIGURES))
    for name, row in result["groups"].items():
        print(f"{name:<12}{row['prompts']:>6}" + "".join(f"{row[figure]:>17.1%}" for figure in FIGURES))
    times = result["milliseconds"]
    print(f"one match: {times['from files']} ms with the skills' files, {times['in memory']} ms in memory")


if __name__ == "__main__":
    sys.exit(main())
