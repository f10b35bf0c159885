"""Every figure of speed in one run: the ratios, the machine, and what the machine can do at best.

    python bench/speed.py [--only inference,training] [--rounds 5] [--out bench/results.json] [--page bench/RESULTS.md]
    python bench/speed.py --smoke        # tiny sizes, to see that all of it runs; the figures mean nothing

Each part runs the script of this folder that measures it; those compare in turns and give the ratio of pairs. `--only` names
parts and keeps what the others found before. Takes three quarters of an hour on two cores, and wants the machine to itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from measuring import BENCH, machine, ratios, run, script, spread

from runner import bank

FORWARD = ("peer.py", "--what", "forward")


class Size(NamedTuple):
    """How much is measured."""

    rounds: int
    frames: int
    batch: int
    megabytes: int
    epochs: int
    sequences: int


class Row(NamedTuple):
    """One line of the page: ``least`` and ``aim`` are what is to be reached, ``ratio`` is what was."""

    what: str
    ratio: Mapping[str, float] | None
    least: float | None
    aim: float | None
    command: str
    note: str = ""
    lower_is_better: bool = False


def main() -> int:
    """Measure, write the figures and the page; 1 where a ratio is below its floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=BENCH / "results.json")
    parser.add_argument("--page", type=Path, default=BENCH / "RESULTS.md")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"--only: no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    size = Size(1, 24, 2, 1, 1, 2) if options.smoke else Size(options.rounds, 300, 16, 500, 20, 24)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"parts": {}}
    results = {"machine": machine() | {"gflops": products(size)}, "parts": known["parts"]}
    for name in chosen:
        began = time.perf_counter()
        rows = [row._asdict() for row in PARTS[name](size)]
        results["parts"][name] = {"rows": rows, "minutes": round((time.perf_counter() - began) / 60, 2), "smoke": options.smoke}
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    options.page.write_text(page(results), encoding="utf-8")
    sys.stdout.write(page(results))
    rows = [Row(**row) for name in chosen for row in results["parts"][name]["rows"]]
    return 0 if options.smoke or all(reached(row) for row in rows) else 1


def products(size: Size) -> dict[str, float]:
    """GFLOP/s of a product of two matrices that fit the cache, the best of some: what nothing on this machine can pass."""
    import torch

    found = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        side = 1024 if size.frames > 100 else 128
        a, b = torch.randn(side, side).to(kind), torch.randn(side, side).to(kind)
        times = []
        for _ in range(12):
            began = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - began)
        found[name] = round(2 * side**3 / min(times) / 1e9, 1)
    return found


def job_environment() -> dict[str, str]:
    """What a training job gets from the skill."""
    return dict(bank.get("tao-train-pose-classification").action("train").environment)


def inference(size: Size) -> list[Row]:
    """Evaluation of ST-GCN against the plain network."""
    rows = []
    third = max(1, size.frames // 3)
    for batch, valid, precision, least, aim in (
        (size.batch, third, "fp32", 4.0, 6.0),
        (size.batch, size.frames, "fp32", 2.2, 2.5),
        (1, third, "fp32", 2.4, 4.0),
        (1, size.frames, "fp32", None, None),
        (size.batch, third, "bf16", 8.0, 12.0),
        (size.batch, size.frames, "bf16", None, None),
        (1, third, "bf16", None, None),
    ):
        words = ("--batch", f"{batch}", "--frames", f"{size.frames}", "--valid", f"{valid}", "--rounds", f"{size.rounds}")
        if precision != "fp32":
            words = (*words, "--precision", precision)
        said = script(*FORWARD, *words, "--json")
        note = f"logits {said['logits_apart']:.0e} apart"
        what = f"inference, {precision}, batch {batch}, {valid} of {size.frames} frames valid"
        rows.append(Row(what, said["peer_over_ours"]["forward"], least, aim, command(*FORWARD, *words), note))
    return rows


def training(size: Size) -> list[Row]:
    """A training step of ST-GCN, each side in a process of its own, ours with what a job gets from its environment."""
    words = ("--what", "step", "--batch", "4", "--frames", f"{size.frames}", "--rounds", "2")
    seconds: dict[str, list[float]] = {"peer": [], "ours": []}
    for _ in range(size.rounds):
        for side, environment in (("peer", {}), ("ours", job_environment())):
            seconds[side].append(min(script("peer.py", *words, "--side", side, environment=environment)["step"]))
    what = f"training step, fp32, batch 4, {size.frames} frames, train.arrangement=fast"
    return [Row(what, ratios(seconds["peer"], seconds["ours"]), 1.3, 2.0, command("peer.py", *words))]


def same_loss(size: Size) -> list[Row]:
    """Time to the plain recipe's lowest validation loss."""
    words = ("--epochs", f"{size.epochs}", "--per-class", f"{size.sequences}")
    smoke = () if size.frames > 100 else ("--smoke",)
    said = [script("same_loss.py", *words, *smoke, "--seed", str(seed + 1), "--json") for seed in range(min(3, size.rounds))]
    reached_by = [one["ratio"] for one in said if one["ratio"]]
    note = "" if len(reached_by) == len(said) else f"reached in {len(reached_by)} of {len(said)} runs"
    found = spread(reached_by) if reached_by else None
    return [
        Row("training by default to the plain recipe's lowest loss", found, 4.0, 6.0, command("same_loss.py", *words), note)
    ]


def convert(size: Size) -> list[Row]:
    """Conversion of DeepStream BodyPose JSON."""
    file = BENCH.parent / f".convert-{os.getpid()}.json"
    words = ("--megabytes", f"{size.megabytes}", "--runs", f"{min(3, size.rounds)}")
    try:
        run([sys.executable, BENCH / "convert.py", *words, "--json", file])
        (said,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    finally:
        file.unlink(missing_ok=True)
    note = f"peak {said['ours']['mib']['median']:.0f} MiB, arrays {'equal' if said['equal'] else 'DIFFER'}"
    what = f"dataset_convert, {size.megabytes} MB BodyPose JSON"
    return [Row(what, said["seconds_ratio"], 18.0, 25.0, command("convert.py", *words), note)]


def start(size: Size) -> list[Row]:
    """Cold commands as multiples of a bare interpreter, and the first prediction."""
    words = ("--rounds", f"{max(1, 3 * size.rounds)}" if size.frames > 100 else "1")
    said = script("cold_start.py", *words, "--json", ends=(0, 1))
    rows = []
    for verb, one in said["commands"].items():
        light = verb in {"list", "status"}
        ratio = dict.fromkeys(("min", "median", "max"), one["ratio"])
        limits = (4.0, 2.5) if light else (10.0, 6.0)
        rows.append(
            Row(f"skillbank {verb}, cold, times a bare interpreter", ratio, *limits, command("cold_start.py", *words), "", True)
        )
    words = ("--rounds", f"{size.rounds}")
    first = script("first_prediction.py", *words, "--json")
    note = f"{first['seconds']['ours']['median']:.2f} s"
    what = "first prediction, ONNX without torch"
    return [*rows, Row(what, first["peer_over_ours"], 8.0, None, command("first_prediction.py", *words), note)]


def job(size: Size) -> list[Row]:
    """Seconds of a training job beside its training."""
    words = ("--rounds", f"{min(3, size.rounds)}")
    said = script("job_overhead.py", *words, "--json")
    note = f"importing torch and Lightning alone {said['imports_alone']['median']:.2f} s"
    what = "seconds of a training job beside its training"
    return [Row(what, said["beside_training"], 6.0, 3.0, command("job_overhead.py", *words), note, True)]


def scaling(size: Size) -> list[Row]:
    """Exponents of time and memory."""
    words = ("--doublings", "3" if size.frames > 100 else "1", "--rounds", f"{min(3, size.rounds)}")
    plot = () if size.frames <= 100 else ("--plot", str(BENCH / "scaling.svg"))
    said = script("scaling.py", *words, *plot, "--json")
    rows = []
    for name, one in said.items():
        for what, title in (("train_seconds", "an epoch"), ("evaluate_seconds", "evaluation"), ("memory_mib", "memory")):
            found = dict.fromkeys(("min", "median", "max"), one[what]["exponent"])
            rows.append(Row(f"exponent of {title} in {name}", found, 1.2, 1.0, command("scaling.py", *words), "", True))
    return rows


PARTS: dict[str, Callable[[Size], list[Row]]] = {
    "inference": inference,
    "training": training,
    "same_loss": same_loss,
    "convert": convert,
    "start": start,
    "job": job,
    "scaling": scaling,
}


def command(name: str, *words: str) -> str:
    """How a row is measured again."""
    return " ".join(["python", f"bench/{name}", *words])


def reached(row: Row) -> bool:
    """Whether the median is what it has to be at least."""
    if row.least is None:
        return True
    if row.ratio is None:
        return False
    return row.ratio["median"] <= row.least if row.lower_is_better else row.ratio["median"] >= row.least


def page(results: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    about = results["machine"]
    lines = [
        "# Speed",
        "",
        "Written by `make bench`. A ratio is how many times longer the plain way takes, pair by pair in one run: minimum,",
        "median and maximum. Rows that say seconds, times or exponent are better when smaller.",
        "",
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}; "
        f"{', '.join(about['fast_numbers']) or 'no AVX'}; "
        f"{', '.join(f'{name} {version}' for name, version in about['packages'].items())}; load before {about['load_before']}.",
        f"Products of matrices reach {about['gflops']['fp32']:g} GFLOP/s in fp32 and {about['gflops']['bf16']:g} in bf16.",
        "",
        "| What | Minimum | Median | Maximum | At least | Aim | Reached | Command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in results["parts"].values():
        for row in (Row(**row) for row in part["rows"]):
            found = [f"{row.ratio[name]:.3g}" for name in ("min", "median", "max")] if row.ratio else ["-"] * 3
            limits = [f"{value:g}" if value is not None else "" for value in (row.least, row.aim)]
            verdict = "" if row.least is None else "yes" if reached(row) else "no"
            title = f"{row.what} ({row.note})" if row.note else row.what
            lines.append(f"| {' | '.join([title, *found, *limits, verdict, f'`{row.command}`'])} |")
    if any(part["smoke"] for part in results["parts"].values()):
        lines += ["", "Some of it was measured with tiny sizes, to see that it runs; those figures mean nothing."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
