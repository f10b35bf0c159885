"""The words of the report: the verdict, the figures it rests on, and what a careful reader should know.

Pure: reads the finished sections of a report.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.report import glance, paired, trust, words
from runner.report.search import at_the_edge
from runner.report.series import in_words

Sections = dict[str, Any]
FIGURES = ("accuracy", "accuracy_interval", "avg_accuracy", "avg_accuracy_interval", "macro_f1", "majority_share")
FEW = 10  # sequences of a class below which its percentages say little
OPEN = ("running", "pending")
BROKEN = ("failed", "canceled", "unknown")


def figures(sections: Sections) -> dict[str, Any]:
    """The handful of numbers a reader looks for first; of several jobs of an action the latest complete one counts."""
    evaluated, trained, exported = (_latest(sections, name) for name in ("evaluations", "trainings", "exports"))
    return {
        **{key: evaluated.get(key) for key in FIGURES},
        "sequences": evaluated.get("sequences"),
        **{key: trained.get(key) for key in ("val_loss", "val_acc", "best_epoch")},
        "onnx_max_abs_diff": exported.get("max_abs_diff"),
        "onnx_tolerance": exported.get("tolerance"),
        "onnx_within_tolerance": exported.get("within_tolerance"),
    }


def verdict(sections: Sections, numbers: dict[str, Any]) -> dict[str, Any]:
    """State, headline, and sentences: what ran and what did not and why, what came out."""
    actions = sections["actions"]
    ran = [a for a in actions if a["jobs"]]
    state = _state([a["status"] for a in ran], numbers)
    return {
        "state": state,
        "headline": _headline(state, ran, sections, numbers),
        "ran": [*_ran(ran), *_not_run(actions)],
        "came_out": [*_came_out(numbers), *_series_came_out(sections)],
        "glance": glance.sentences(_latest(sections, "evaluations")),
    }


def notes(sections: Sections) -> list[str]:
    """What a careful reader should know, most telling first."""
    return [
        *_data_notes(sections),
        *_trust_notes(sections),
        *_class_notes(sections),
        *_training_notes(sections),
        *_search_notes(sections),
        *_series_notes(sections),
        *_file_notes(sections),
    ]


def action_result(action: str, sections: Sections) -> str:
    """What came of an action, in a few words for the table of actions."""
    names = {
        "evaluate": "evaluations",
        "train": "trainings",
        "export": "exports",
        "inference": "inferences",
        "dataset_convert": "conversions",
    }
    told = _latest(sections, names.get(action, ""))
    last = _latest(sections, "series") if action == "train" else {}
    if last and _order(sections, last) > _order(sections, told):
        return in_words(last)
    if not told:
        return ""
    if action == "evaluate" and told["accuracy"] is not None:
        return f"{words.percent(told['accuracy'])} accuracy on {words.count(told['sequences'] or 0, 'sequence')}"
    if action == "train" and told["val_loss"] is not None:
        return f"val_loss {words.number(told['val_loss'])} at epoch {words.number(told['best_epoch'])}"
    if action == "export" and told["max_abs_diff"] is not None:
        return f"largest difference {words.number(told['max_abs_diff'], 2)}"
    if action == "inference" and told["sequences"] is not None:
        return f"{words.count(told['sequences'], 'sequence')} classified"
    if action == "dataset_convert" and told["windows"] is not None:
        return f"{words.count(told['windows'], 'window')} of {words.count(told['objects'] or 0, 'object')}"
    return ""


def _latest(sections: Sections, name: str) -> dict[str, Any]:
    """The last entry of a section whose job is complete, else the last, else nothing."""
    entries: list[dict[str, Any]] = sections.get(name) or []
    complete = {job["id"] for job in sections["jobs"] if job["status"] == "complete"}
    return next((e for e in reversed(entries) if e["job"] in complete), entries[-1] if entries else {})


def _order(sections: Sections, entry: dict[str, Any]) -> int:
    """Place of an entry's job in time; nothing comes first."""
    return next((i for i, job in enumerate(sections["jobs"]) if job["id"] == entry.get("job")), -1)


def _state(statuses: list[str], numbers: dict[str, Any]) -> str:
    if not statuses:
        return "nothing ran"
    if any(s in BROKEN for s in statuses) or numbers["onnx_within_tolerance"] is False:
        return "failed"
    return "running" if any(s in OPEN for s in statuses) else "complete"


def _headline(state: str, ran: list[dict[str, Any]], sections: Sections, numbers: dict[str, Any]) -> str:
    if state == "nothing ran":
        return "Nothing has run"
    broken = [a for a in ran if a["status"] in BROKEN]
    if broken:
        said = {"failed": "failed", "canceled": "was canceled", "unknown": "ended in an unknown state"}
        return words.together([f"{a['action']} {said[a['status']]}" for a in broken])
    if state == "failed":
        return "The ONNX file does not agree with the checkpoint"
    if state == "running":
        return words.together([a["action"] for a in ran if a["status"] in OPEN]) + " still running"
    if numbers["accuracy"] is not None:
        sequences = words.count(numbers["sequences"] or 0, "test sequence")
        return f"{words.percent(numbers['accuracy'])} of {sequences} classified correctly"
    series = _latest(sections, "series")
    if series and in_words(series) and _order(sections, series) > _order(sections, _latest(sections, "trainings")):
        return f"{series['what']}: {in_words(series)}"
    if numbers["val_loss"] is not None:
        return f"Trained to a validation loss of {words.number(numbers['val_loss'])}"
    return words.together([a["action"] for a in ran]) + " complete"


def _ran(ran: list[dict[str, Any]]) -> Iterator[str]:
    if ran:
        yield (
            "Ran: "
            + ", ".join(a["action"] if a["status"] == "complete" else f"{a['action']} ({a['status']})" for a in ran)
            + "."
        )


def _not_run(actions: list[dict[str, Any]]) -> Iterator[str]:
    absent = [a for a in actions if not a["jobs"]]
    if absent:
        yield "Not run: " + ", ".join(f"{a['action']} ({a['status'].removeprefix('not run: ')})" for a in absent) + "."


def _came_out(numbers: dict[str, Any]) -> Iterator[str]:
    if numbers["accuracy"] is not None:
        parts = [f"Accuracy {words.percent(numbers['accuracy'])}"]
        if numbers["accuracy_interval"]:
            low, high = numbers["accuracy_interval"]
            parts.append(f"95 % interval {words.percent(low)} to {words.percent(high)}")
        if numbers["majority_share"] is not None:
            parts.append(f"{words.percent(numbers['majority_share'])} would come from always saying the most frequent class")
        yield "; ".join(parts) + "."
    if numbers["val_loss"] is not None:
        epoch = f" at epoch {words.number(numbers['best_epoch'])}" if numbers["best_epoch"] is not None else ""
        yield f"Best val_loss {words.number(numbers['val_loss'])}{epoch}."
    if numbers["onnx_max_abs_diff"] is not None:
        agrees = {True: "agrees", False: "does not agree", None: "was compared"}[numbers["onnx_within_tolerance"]]
        tolerance = f", tolerance {words.number(numbers['onnx_tolerance'])}" if numbers["onnx_tolerance"] is not None else ""
        difference = words.number(numbers["onnx_max_abs_diff"], 2)
        yield f"The ONNX file {agrees} with the checkpoint: largest difference {difference}{tolerance}."


def _series_came_out(sections: Sections) -> Iterator[str]:
    for told in sections["series"]:
        if in_words(told):
            yield f"Series of {told['what']}: {in_words(told)}."
        if told["verdict"]:
            yield told["verdict"]


def _series_notes(sections: Sections) -> Iterator[str]:
    for told in sections["series"]:
        failed = [t for t in told["trainings"] if t["status"] in BROKEN]
        if failed:
            trainings = words.count(len(told["trainings"]), "training")
            yield f"{len(failed)} of {trainings} of the series did not finish, and mean and spread are those of the others."


def _data_notes(sections: Sections) -> Iterator[str]:
    splits: dict[str, set[str]] = {}
    for told in sections["data"]:
        if told["sha256"]:
            splits.setdefault(told["sha256"], set()).add(told["split"])
    pooled = {file["sha256"] for told in sections["data"] for file in told["files"]}
    for digest, names in splits.items():
        if "test" in names and digest in pooled:
            yield (
                "The test data is among the files that were put together and divided for training and validation: the model "
                "was trained on some of it, and the accuracy says nothing about new sequences."
            )
        if {"train", "test"} <= names:
            yield "The test data is the training data (same SHA-256): the accuracy says nothing about new sequences."
        elif {"val", "test"} <= names:
            yield "The test data is the validation data (same SHA-256), which chose the checkpoint: the accuracy is optimistic."
        if {"train", "val"} <= names:
            yield "The validation data is the training data (same SHA-256): val_loss cannot show overfitting."
    for finding in words.noticed(sections["checks"]):
        if finding["level"] == "error":
            yield f"Data check: {finding['text']}."
    seen = dict.fromkeys(f"{told['split']}: {note}" for told in sections["data"] for note in told["notes"])
    yield from (f"Data of {note}" for note in seen)


def _trust_notes(sections: Sections) -> Iterator[str]:
    splits = {told["split"] for told in sections["data"]}
    evaluated, trained = _latest(sections, "evaluations"), _latest(sections, "trainings")
    searched = any(found["job"] == trained.get("job") for found in sections["searches"])
    rows = (row for job in sections["jobs"] if job["id"] == trained.get("job") for row in job["spec"])
    last = any((row["key"], row["value"]) == ("train.select", "last") for row in rows)
    yield from trust.notes(evaluated, trained, splits, searched=searched, last=last)


def _class_notes(sections: Sections) -> Iterator[str]:
    told = _latest(sections, "evaluations")
    rows, interval, guess = told.get("per_class") or [], told.get("accuracy_interval"), told.get("majority_share")
    if interval and guess is not None and interval[0] <= guess:
        yield "The accuracy cannot be told from that of always saying the most frequent class."
    never = [r["name"] for r in rows if r["support"] and not r["recall"]]
    absent = [r["name"] for r in rows if r["support"] == 0]
    few = [r["name"] for r in rows if r["support"] and r["support"] < FEW]
    if len(few) == len(rows) > 1:
        few = ["every class"]
    if never:
        yield f"Never recognised in the test data: {', '.join(never)}."
    if absent:
        yield f"Not in the test data, so nothing is known of them: {', '.join(absent)}."
    if few:
        yield f"Fewer than {FEW} test sequences, so their percentages say little: {', '.join(few)}."


def _training_notes(sections: Sections) -> Iterator[str]:
    told = _latest(sections, "trainings")
    losses = [(row["epoch"], row["val_loss"]) for row in told.get("curves") or [] if row["val_loss"] is not None]
    if len(losses) < 2:
        return
    best, last = min(losses, key=lambda point: point[1]), losses[-1]
    if best == last:
        yield "val_loss was still falling in the last epoch: more epochs may help."
    elif last[1] > 1.25 * best[1]:
        rise = f"{words.number(best[1])} (epoch {words.number(best[0])}) to {words.number(last[1])}"
        yield f"val_loss rose from {rise} in the last epoch, a sign of overfitting; the best checkpoint is kept."


def _search_notes(sections: Sections) -> Iterator[str]:
    for found in sections["searches"]:
        beside = next((told for told in (found["final"] or {}).get("against") or [] if told["what"] == "baseline"), None)
        if beside and beside["p"] >= paired.RARE:
            more = "What the search gained on the test set cannot be told from chance."
            none = "The search gained nothing on the test set."
            yield f"{more if beside['only_b'] > beside['only_a'] else none} {beside['says']}"
        elif beside and beside["only_b"] < beside["only_a"]:
            yield f"On the test set what the search found is worse than the spec as given. {beside['says']}"
        failed = [t for t in found["trials"] if t["status"] in BROKEN and not t["cut"]]
        trials = words.count(len(found["trials"]), "trial")
        if failed:
            yield f"{len(failed)} of {trials} of the search did not finish; the search went on."
        cut = sum(t["cut"] for t in found["trials"])
        if cut:
            yield f"{cut} of {trials} of the search {'was' if cut == 1 else 'were'} cut off when it ended.{_ahead(found)}"
        edge = at_the_edge(found)
        if edge:
            yield f"The search's best value lies at the end of its range, so a wider range may do better: {'; '.join(edge)}."


def _ahead(found: dict[str, Any]) -> str:
    """What the best of the trials that were cut off had come to, where it was ahead of the best of the whole ones."""
    sign = 1.0 if found["direction"] == "minimize" else -1.0
    best = (found["best"] or {}).get("value")
    values = {t["number"]: (sign * t["reached"], t) for t in found["trials"] if t["cut"] and t["reached"] is not None}
    value, trial = min(values.values(), default=(0.0, None), key=lambda one: one[0])
    if trial is None or best is None or value >= sign * best:
        return ""
    reached = f"{words.number(trial['reached'])} after {words.count(trial['epochs'] or 0, 'epoch')}"
    how = "--resume with a larger --budget trains it to its end"
    return f" Trial {trial['number']} had come to {reached}, ahead of the best: {how}."


def _file_notes(sections: Sections) -> Iterator[str]:
    gone = sections["missing"]
    if gone:
        yield f"{words.count(len(gone), 'artifact')} named by a record could not be read; see the list of missing artifacts."
