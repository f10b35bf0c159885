"""How long streaming inference takes per decision, from a real process with pipes at both ends.

For each model it measures, in milliseconds, what the process itself reports (line read -> decision ready) and the round trip
that a caller sees (line written -> decision read), as percentiles; also how long a line without a decision takes, and
the start. Then the same for several people who are all due in every frame: the lines of a frame written together, whose windows
go through the network as one batch, against one by one. The networks are untrained: the work is the same. Makes its own files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from stgcn.graph import LAYOUTS
from stgcn.stream.lines import LineReader
from stgcn.stream.tracks import Options, Tracks

MODELS = (("coco", 60), ("nvidia", 100), ("nvidia", 300))  # layout and window
PEOPLE = (1, 4, 16)  # tracks that are due in the same frame
PERCENTILES = (50, 95, 99)
FRAME_RATE = 30


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100, help="decisions per model (default 100)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--only", choices=sorted({layout for layout, _ in MODELS}), help="models of one layout alone")
    options = parser.parse_args()
    models = [model for model in MODELS if options.only in (None, model[0])]
    results, together = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = {layout: write_model(Path(folder), layout) for layout in sorted({layout for layout, _ in models})}
        for layout, window in models:
            results += [measure(file, layout, window, options.decisions) for file in files[layout]]
        for layout, window in models:
            together += [people(files[layout][0], layout, window, max(10, options.decisions // n), n) for n in PEOPLE]
    if options.json:
        print(
            json.dumps(
                {"cpus": os.cpu_count(), "machine": platform.machine(), "results": results, "together": together}, indent=2
            )
        )
    else:
        show(results)
        show_people(together)
    return 0


def write_model(folder: Path, layout: str) -> list[Path]:
    """A checkpoint that describes itself, and its export for any length."""
    import torch

    from stgcn import config, description, export
    from stgcn.graph import adjacency
    from stgcn.model import STGCN

    model, dataset = config.Model(graph_layout=layout), config.Dataset()
    torch.manual_seed(0)
    network = STGCN(torch.from_numpy(adjacency(LAYOUTS[layout], "spatial")), 3, dataset.num_classes)
    said = description.describe(model, dataset, window=None, num_persons=1)
    said |= {"epoch": 0, "step": 1, "epochs_completed": 1, "metrics": {}, "spec": {}}
    checkpoint, onnx = (folder / f"{layout}{kind}" for kind in (".pth", ".onnx"))
    torch.save({"state_dict": network.state_dict(), description.KEY: said}, checkpoint)
    export.run({"results_dir": str(folder / onnx.stem), "export": {"checkpoint": str(checkpoint), "onnx_file": str(onnx)}})
    return [onnx, checkpoint]


def measure(model: Path, layout: str, window: int, decisions: int) -> dict[str, Any]:
    """Fill one window, then ask for a decision at every line; the same lines once more without a model."""
    lines = written(window + decisions, LAYOUTS[layout].num_joints)
    start = time.perf_counter()
    with started(model, "--stride", "1", "--window", str(window)) as process:
        source, sink = pipes(process)
        answer(source, sink, b"".join(lines[:window]))
        first = time.perf_counter() - start
        told, seen = [], []
        for line in lines[window:]:
            sent = time.perf_counter()
            told.append(answer(source, sink, line)["latency_ms"])
            seen.append((time.perf_counter() - sent) * 1000)
        source.close()
    quiet = seconds_of_quiet_lines(lines, layout, window)
    return {
        "layout": layout,
        "window": window,
        "model": model.suffix[1:],
        "decision_ms": percentiles(told),
        "round_trip_ms": percentiles(seen),
        "line_without_decision_ms": round(quiet * 1000, 4),
        "first_decision_s": round(first, 2),
        "tracks_at_one_decision_a_second": tracks(float(np.mean(seen)) / 1000, quiet),
    }


def people(model: Path, layout: str, window: int, frames: int, count: int) -> dict[str, Any]:
    """``count`` tracks with a decision each in every frame: all lines of a frame at once, then line by line."""
    lines = [written(window + 2 * frames, LAYOUTS[layout].num_joints, track) for track in range(count)]
    moments = [[track[f] for track in lines] for f in range(window + 2 * frames)]
    with started(model, "--stride", "1", "--window", str(window)) as process:
        source, sink = pipes(process)
        answers(source, sink, b"".join(line for moment in moments[:window] for line in moment), count)
        told, whole, single = [], [], []
        for moment in moments[window : window + frames]:
            sent = time.perf_counter()
            told += [decision["latency_ms"] for decision in answers(source, sink, b"".join(moment), count)]
            whole.append((time.perf_counter() - sent) * 1000)
        for moment in moments[window + frames :]:
            sent = time.perf_counter()
            for line in moment:
                answers(source, sink, line, 1)
            single.append((time.perf_counter() - sent) * 1000)
        source.close()
    return {
        "layout": layout,
        "window": window,
        "tracks": count,
        "decision_ms": percentiles(told),
        "frame_ms": percentiles(whole),
        "frame_one_by_one_ms": percentiles(single),
        "times_faster_together": round(float(np.median(single) / np.median(whole)), 2),
    }


def tracks(decision: float, line: float) -> int:
    """How many people at 30 frames and one decision a second keep one process busy."""
    return int(1 / (decision + (FRAME_RATE - 1) * line))


def seconds_of_quiet_lines(lines: list[bytes], layout: str, window: int, repeats: int = 5) -> float:
    """Per line that leads to no decision: read, checked, put into its track; the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        reader = LineReader(LAYOUTS[layout].joints, 3)
        followed = Tracks(Options(window=window, stride=len(lines) + 1, min_frames=window))
        start = time.perf_counter()
        for line in lines:
            followed.see(reader.read(line))
        best = min(best, (time.perf_counter() - start) / len(lines))
    return best


def written(frames: int, joints: int, track: int = 1) -> list[bytes]:
    """The lines of one track with six digits a number, as pose estimators write them."""
    data = np.random.default_rng(track).normal(0, 0.5, (frames, joints, 3)).round(6)
    return [json.dumps({"frame": f, "track": track, "joints": data[f].tolist()}).encode() + b"\n" for f in range(frames)]


def started(model: Path, *words: str) -> subprocess.Popen[bytes]:
    """The command on a model."""
    command = [sys.executable, "-m", "runner.tao_cli", "inference", "--stream", "--checkpoint", str(model), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Where to write lines and where to read decisions."""
    assert process.stdin
    assert process.stdout
    return process.stdin, process.stdout


def answer(source: IO[bytes], sink: IO[bytes], lines: bytes) -> dict[str, Any]:
    """Write lines and wait for the decision they lead to."""
    return answers(source, sink, lines, 1)[0]


def answers(source: IO[bytes], sink: IO[bytes], lines: bytes, count: int) -> list[dict[str, Any]]:
    """Write lines and wait for the ``count`` decisions they lead to."""
    source.write(lines)
    source.flush()
    decisions = [sink.readline() for _ in range(count)]
    if not all(decisions):
        raise SystemExit("the process ended without a decision")
    return [json.loads(text) for text in decisions]


def percentiles(times: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{p}": round(float(np.percentile(times, p)), 2) for p in PERCENTILES}


def show(results: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{os.cpu_count()} CPUs; milliseconds, p50 / p95 / p99")
    heads = (("layout", -8), ("window", 7), ("model", 6), ("decision", 28), ("round trip", 28), ("other line", 11))
    print("".join(f"{text:{'<' if width < 0 else '>'}{abs(width)}}" for text, width in (*heads, ("start s", 9), ("tracks", 8))))
    for row in results:
        times = [" / ".join(f"{row[key][f'p{p}']:.1f}" for p in PERCENTILES) for key in ("decision_ms", "round_trip_ms")]
        print(
            f"{row['layout']:<8}{row['window']:>7}{row['model']:>6}{times[0]:>28}{times[1]:>28}"
            f"{row['line_without_decision_ms']:>11.3f}{row['first_decision_s']:>9.2f}"
            f"{row['tracks_at_one_decision_a_second']:>8}"
        )
    print("tracks: people at 30 frames and one decision a second that keep one process busy")


def show_people(results: list[dict[str, Any]]) -> None:
    """Print the table of several tracks, ONNX only."""
    print("\nseveral people due in every frame, ONNX; milliseconds, p50 / p95 / p99; a frame is the decisions on all of them")
    heads = (("layout", -8), ("window", 7), ("people", 7), ("decision", 28), ("frame", 28), ("one by one", 28), ("times", 7))
    print("".join(f"{text:{'<' if width < 0 else '>'}{abs(width)}}" for text, width in heads))
    for row in results:
        keys = ("decision_ms", "frame_ms", "frame_one_by_one_ms")
        texts = [" / ".join(f"{row[key][f'p{p}']:.1f}" for p in PERCENTILES) for key in keys]
        times = "".join(f"{text:>28}" for text in texts)
        print(f"{row['layout']:<8}{row['window']:>7}{row['tracks']:>7}{times}{row['times_faster_together']:>7.2f}")


if __name__ == "__main__":
    sys.exit(main())
