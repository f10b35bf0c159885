"""The report as Markdown, part by part."""

from __future__ import annotations

import shlex
from typing import Any

from runner.report import searched, words
from runner.report.markdown import Lines, block, code, plain, table
from runner.report.series import value

WIDEST_MATRIX = 12  # classes up to which the confusion matrix is a table here
SAMPLES = 5  # of a finding in the data


def render(report: dict[str, Any]) -> str:
    """The whole report."""
    parts = (
        _head,
        _summary,
        _evaluations,
        _trainings,
        searched.searches,
        _series,
        _exports,
        _others,
        _data,
        _checks,
        _missing,
        _jobs,
        _environment,
        _reproduce,
    )
    return "\n".join(line for part in parts for line in part(report)).rstrip() + "\n"


def _head(r: dict[str, Any]) -> Lines:
    yield from (f"# {plain(r['verdict']['headline'])}", "", f"{plain(r['title'])}, {words.moment(r['generated_at'])}", "")
    glance = [g["text"] for g in r["verdict"]["glance"]]
    yield from (f"- {plain(sentence)}" for sentence in (*glance, *r["verdict"]["ran"], *r["verdict"]["came_out"]))
    yield ""


def _summary(r: dict[str, Any]) -> Lines:
    yield from ("## Actions", "")
    rows = [
        (
            a["action"],
            plain(a["status"]),
            (a["route"] or {}).get("kind") or "",
            words.seconds(a["duration_seconds"]),
            plain(a["result"]),
        )
        for a in r["actions"]
    ]
    yield from table(("Action", "Status", "Route", "Time", "Result"), rows, "lllr")
    if r["notes"]:
        yield from ("## Worth knowing", "", *(f"- {plain(note)}" for note in r["notes"]), "")
    yield from ("## Files", "")
    files = [(f["what"], code(f["path"])) for f in r["files"]] + [
        (f"this report, {k}", code(p)) for k, p in r["report_files"].items()
    ]
    yield from table(("What", "Where"), files)


def _evaluations(r: dict[str, Any]) -> Lines:
    for e in r["evaluations"]:
        yield from (f"## Evaluation {code(e['job'])}", "")
        yield from table(
            ("Measure", "Value"),
            [
                ("Accuracy", words.percent(e["accuracy"]) + _between(e["accuracy_interval"])),
                ("Average accuracy of the classes", words.percent(e["avg_accuracy"]) + _between(e["avg_accuracy_interval"])),
                ("Macro F1", words.percent(e["macro_f1"])),
                (f"Top {e['top_k']} accuracy" if e["top_k"] else "Top k accuracy", words.percent(e["top_k_accuracy"])),
                ("Always the most frequent class", words.percent(e["majority_share"])),
                ("Sequences", words.number(e["sequences"])),
                ("Loss", words.number(e["loss"])),
                ("Data", code(e["data_path"] or "")),
                ("Checkpoint", code(e["checkpoint"] or "")),
            ],
        )
        streams = [(code(s["name"]), words.percent(s["accuracy"]), words.number(s["weight"], 3)) for s in e["streams"]]
        yield from table(("Stream by itself", "Accuracy", "Weight in the fusion"), streams, "lrr")
        yield from _trust(e)
        yield from _per_class(e)
        yield from _matrix(e)


def _between(ends: list[float] | None) -> str:
    return f" (95 % interval {' to '.join(words.percent(v) for v in ends)})" if ends else ""


def _trust(e: dict[str, Any]) -> Lines:
    told, unknown = e["calibration"], e["unknown"]
    rows = [("Intervals by", plain(e["interval_method"]))] if e["interval_method"] else []
    if told:
        rows.append(("Expected calibration error", words.percent(told["ece"])))
    if told and told["temperature"] is not None:
        rows += [
            ("The same without temperature", words.percent(told["ece_uncalibrated"])),
            ("Temperature", words.number(told["temperature"], 3)),
        ]
    if unknown:
        rows += [
            ("Threshold for unknown", words.number(unknown["threshold"], 3)),
            ("Sequences below it", words.percent(unknown["called"])),
            ("Right answers kept", words.percent(unknown["right_kept"])),
            ("Wrong answers dropped", words.percent(unknown["wrong_called"])),
        ]
    yield from table(("How far to believe it", "Value"), rows)
    if told:
        bins = [
            (
                f"{b['from']:.2f} to {b['to']:.2f}",
                str(b["sequences"]),
                words.percent(b["confidence"]),
                words.percent(b["accuracy"]),
            )
            for b in told["bins"]
            if b["sequences"] and b["from"] is not None and b["to"] is not None
        ]
        yield from table(("Probability", "Sequences", "Mean of it", "Accuracy"), bins, "lrrr")
    hints = [(code(h["class"]), words.percent(h["recall"]), plain("; ".join(h["says"]))) for h in e["hints"]]
    yield from table(("Badly recognised", "Recall", "Likely reasons"), hints, "lrl")


def _per_class(e: dict[str, Any]) -> Lines:
    rows = [
        (code(c["name"]), *(words.percent(c[key]) for key in ("precision", "recall", "f1")), words.number(c["support"]))
        for c in e["per_class"]
    ]
    yield from table(("Class", "Precision", "Recall", "F1", "Support"), rows, "lrrrr")


def _matrix(e: dict[str, Any]) -> Lines:
    matrix = e["confusion"]
    if matrix and len(matrix["names"]) <= WIDEST_MATRIX:
        yield from ("Confusion matrix: a row is the true class, a column the predicted one.", "")
        rows = [(code(name), *map(str, row)) for name, row in zip(matrix["names"], matrix["rows"], strict=True)]
        yield from table(("", *map(code, matrix["names"])), rows, "l" + "r" * len(matrix["names"]))
    if e["confused"]:
        yield from ("Most confused:", "")
        pairs = [
            (code(p["truth"]), code(p["predicted"]), str(p["count"]), words.share(p["share"]), str(p["back"]))
            for p in e["confused"]
        ]
        yield from table(("Truth", "Taken for", "Sequences", "Of the class", "The other way"), pairs, "llrrr")
    listed, caption = (e["mistakes"], "Wrong and sure of it") if e["mistakes"] else (e["worst"], "The likeliest wrong answers")
    if listed:
        yield from (f"{caption}:", "")
        rows = [(code(m["name"]), code(m["truth"]), code(m["predicted"]), words.share(m["probability"])) for m in listed]
        yield from table(("Sequence", "Truth", "Predicted", "Probability"), rows, "lllr")


def _trainings(r: dict[str, Any]) -> Lines:
    for t in r["trainings"]:
        yield from (f"## Training {code(t['job'])}", "")
        if t["curves_of"] != t["job"]:
            yield from (f"Curves of the best trial, {code(t['curves_of'])}.", "")
        rows = [
            (
                words.number(c["epoch"]),
                *(words.number(c[key]) for key in ("train_loss", "val_loss")),
                *(words.share(c[key]) for key in ("train_acc", "val_acc")),
                words.number(c["lr"], 3),
                "best" if c["epoch"] == t["best_epoch"] else "",
            )
            for c in t["curves"]
        ]
        yield from table(("Epoch", "Train loss", "Val loss", "Train acc", "Val acc", "Rate", ""), rows, "rrrrrr")


def _series(r: dict[str, Any]) -> Lines:
    for s in r["series"]:
        yield from (f"## Series {code(s['job'])}", "", f"{plain(s['what'])}.", "")
        head = ("Training", "Status", *map(plain, s["metrics"]), *map(plain, s["counts"]), "Time", "Error")
        rows = [
            (
                f"{plain(t['label'])}{' best' if t['best'] else ''}",
                t["status"],
                *(value(name, t["metrics"][name]) for name in s["metrics"]),
                *(words.number(t["counts"][name]) for name in s["counts"]),
                words.seconds(t["seconds"]),
                plain(t["error"] or ""),
            )
            for t in s["trainings"]
        ]
        yield from table(head, rows, "ll" + "r" * (len(head) - 3))
        yield from table(
            ("Over the trainings", "Number", "Mean", "Std", "Lowest", "Highest"), map(_spread, s["summary"]), "lrrrrr"
        )
        points = [(_share(p), *_spread(m)) for p in s["curve"] for m in p["metrics"]]
        yield from table(("Training data", "Measure", "Number", "Mean", "Std", "Lowest", "Highest"), points, "llrrrrr")
        if s["verdict"]:
            yield from (plain(s["verdict"]), "")


def _share(point: dict[str, Any]) -> str:
    sequences = f", {words.number(point['sequences'])} sequences" if point["sequences"] is not None else ""
    return words.share(point["share"]) + sequences


def _spread(found: dict[str, Any]) -> tuple[str, ...]:
    name = found["name"]
    return (plain(name), str(found["n"]), *(value(name, found[key]) for key in ("mean", "std", "min", "max")))


def _exports(r: dict[str, Any]) -> Lines:
    for e in r["exports"]:
        yield from (f"## Export {code(e['job'])}", "")
        agrees = {True: "within tolerance", False: "over tolerance", None: ""}[e["within_tolerance"]]
        yield from table(
            ("Fact", "Value"),
            [
                ("ONNX file", code(e["onnx"] or "")),
                ("Checkpoint", code(e["checkpoint"] or "")),
                ("Largest difference", f"{words.number(e['max_abs_diff'], 2)} {agrees}".strip()),
                ("Allowed", words.number(e["tolerance"])),
                *((plain(key), code(words.value(value))) for key, value in e["facts"].items()),
            ],
        )
        cases = [
            (" x ".join(map(str, c["shape"] or [])), plain(c["kind"] or ""), words.number(c["max_abs_diff"], 2))
            for c in e["cases"]
        ]
        yield from table(("Compared on", "Input", "Largest difference"), cases, "llr")


def _others(r: dict[str, Any]) -> Lines:
    for i in r["inferences"]:
        yield from (f"## Inference {code(i['job'])}", "")
        yield from (
            f"{words.count(i['sequences'] or 0, 'sequence')}, classes in {code(i['output_file'] or words.NOTHING)}.",
            "",
        )
        yield from table(("Class", "Sequences"), [(code(c["name"]), words.number(c["sequences"])) for c in i["classes"]], "lr")
    for c in r["conversions"]:
        yield from (f"## Conversion {code(c['job'])}", "")
        yield from table(
            ("Count", "Number"), [(k, words.number(c[k])) for k in ("records", "frames", "objects", "windows")], "lr"
        )


def _data(r: dict[str, Any]) -> Lines:
    if not r["data"]:
        return
    yield from ("## Data card", "")
    yield from table(("Fact", "Value"), [(c["name"], plain(c["value"])) for c in r["card"]])
    rows = [
        (
            d["split"],
            words.number(d["sequences"]),
            code("x".join(map(str, d["shape"] or []))),
            " / ".join(words.number(d["frames"][k]) for k in ("min", "median", "max")),
            code(d["path"] or ""),
            code(d["sha256"] or ""),
        )
        for d in r["data"]
    ]
    yield from table(("Split", "Sequences", "Shape", "Frames min/med/max", "File", "SHA-256"), rows, "lr")
    names = list(dict.fromkeys(c["name"] for d in r["data"] for c in d["per_class"]))
    counts = [{c["name"]: c["sequences"] for c in d["per_class"]} for d in r["data"]]
    head = ("Sequences of class", *(d["split"] for d in r["data"]))
    yield from table(head, [(code(n), *(words.number(c.get(n)) for c in counts)) for n in names], "l" + "r" * len(counts))


def _checks(r: dict[str, Any]) -> Lines:
    """What was noticed in the data, the worst first, and who looked."""
    if not r["checks"]:
        return
    yield from ("## Data checks", "", plain(words.looked(r["checks"], r["jobs"])), "")
    rows = [
        (f["level"], f["split"] or "", plain(f["text"]), ", ".join(map(code, f["samples"][:SAMPLES])), f"{f['count'] or ''}")
        for f in words.noticed(r["checks"])
    ]
    yield from table(("Level", "Split", "What", "Samples, the worst first", "Number"), rows, "llllr")


def _missing(r: dict[str, Any]) -> Lines:
    if r["missing"]:
        yield from ("## Missing artifacts", "")
        rows = [(code(m["job"]), plain(m["artifact"]), code(m["path"]), plain(m["reason"])) for m in r["missing"]]
        yield from table(("Job", "Artifact", "Path", "Why"), rows)


def _jobs(r: dict[str, Any]) -> Lines:
    yield from ("## Jobs", "")
    for j in r["jobs"]:
        if j["role"] == "trial" and not j["error"]:
            continue
        route = j["route"] or {}
        yield from (f"### {code(j['id'])}", "")
        yield from table(
            ("Fact", "Value"),
            [
                ("Action", f"{j['action']}, {plain(j['status'])}"),
                ("Route", plain(f"{route.get('kind')}: {route.get('reason')}") if route else words.NOTHING),
                *([("Recipe", plain(j["recipe"]))] if j["recipe"] else []),
                ("Parent", code(j["parent_job"] or "")),
                ("Started", words.moment(j["started_at"])),
                ("Took", words.seconds(j["duration_seconds"])),
                ("Results", code(j["results_dir"] or "")),
                ("Log", code(j["log"] or "")),
                *((f"Hash of the {plain(name)}", code(digest)) for name, digest in j["hashes"].items()),
            ],
        )
        yield from _error(j["error"])
        rows = [(code(s["key"]), code(words.value(s["value"])), plain(words.source(s["source"]))) for s in j["spec"]]
        yield from table(("Setting", "Value", "From"), rows)


def _error(error: dict[str, Any] | None) -> Lines:
    if not error:
        return
    yield from (f"Error: {plain(error['message'])}", "", *(f"- {plain(p)}" for p in error["problems"]), "")
    if error["log_tail"]:
        yield from (f"Last lines of the log {code(error['log'] or '')}:", "", *block(error["log_tail"]))


def _environment(r: dict[str, Any]) -> Lines:
    yield from ("## Provenance", "")
    made = [
        (
            f"{plain(p['action'])} {code(p['job'])}",
            code(p["of"] or ""),
            ", ".join(f"{plain(d['split'])} {code(words.short(d['sha256']))}" for d in p["data"]),
            code(words.short(p["spec_sha256"])),
            words.number(p["seed"]),
            plain(p["software"]),
        )
        for p in r["provenance"]
    ]
    yield from table(("Job", "Stands on", "Data (SHA-256)", "Settings (SHA-256)", "Seed", "Software"), made)
    for e in r["environments"]:
        rows = [(plain(key), code(words.value(value))) for key, value in words.pairs(e["values"])]
        yield from table(("What", "Value"), rows)


def _reproduce(r: dict[str, Any]) -> Lines:
    commands = [shlex.join(c["command"]) for c in r["reproduce"] if c["command"]]
    if commands:
        yield from ("## Run it again", "", *block("\n".join(commands)))
