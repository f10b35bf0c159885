"""Valid files of every kind that is read, broken in thousands of ways, and read again: a process of its own, bounded in memory.

    python tests/fuzzing.py --cases 2000 --seed 1 [--target csv --target checkpoint] [--list]

Whatever is in a file, it is read or refused in words: no other exception, nothing executed, no hang, at most 1 GiB more. Else
there is a line of JSON on standard output with the target and the case, which ``--case`` runs again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import test_import_formats as formats
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from stgcn import (
    annotations,
    arrays,
    config,
    dataset_convert,
    description,
    evaluate,
    inference,
    inspect,
    labels,
    network,
    stream,
)
from stgcn.errors import TrainerError
from stgcn.graph import LAYOUTS, resolve

HANG_SECONDS = 30
MEMORY = 2**30
LONGEST_MESSAGE = 50_000
# A conversion forks workers of its own; what they would execute shows by the file that COMMAND makes.
EXECUTED = re.compile(r"os\.(system|exec|posix_spawn|startfile)|subprocess\.Popen|socket\.connect|pty\.spawn")
COMMAND = "touch owned"
FRAMES, JOINTS, CLASSES = 12, 17, {"still": 0, "wave": 1, "fall": 2}

SHELL = COMMAND.encode()

JUNK: list[Any] = [
    *(
        None,
        True,
        "",
        "x",
        "1",
        "\0",
        "\ud800",
        "../../etc/passwd",
        f"__import__('os').system('{COMMAND}')",
        "9" * 400,
        "A" * 3000,
    ),
    *(0, -1, 1.5, 1e308, 1e-320, 10**30, 10**400, 2**63, -(2**31), float("nan"), float("inf")),
    *([], {}, [[]], [{}], [None], [[[[[]]]]], ["a"] * 60, [0.0] * 99, [[1, 2, 3]] * 33, [[1e308] * 3] * 17),
    *({"x": 1}, {"0": {"0": 1}}),
]
PIECES = [
    *(b"", b"\0", b"\xff", b"\xff" * 4, b"\x7f\xff\xff\xff", b"-", b"]", b"{", b'"', b",,", b"\n", b"\r\n", b";"),
    *(b"9" * 400, b"-1", b"1e999", b"NaN", b"nan", b"null", b"[" * 3000, b"'O'", b"(0,)", b"(99999999999,)", b"<f8", b"|O"),
    *(b"PK\x03\x04", b"\x93NUMPY\x02\x00", b"&a [*a,*a]", b"!!python/object/apply:os.system ['" + SHELL + b"']\n"),
    *(b"cos\nsystem\n(S'" + SHELL + b"'\ntR.", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0b" + SHELL + b"\x85R."),
    *(b"\x80\x02cbuiltins\neval\n(S'1'\ntR", b"\x95" + b"\xff" * 7 + b"\x7f", b"\x8e" + b"\xff" * 7 + b"\0"),
    *(b"R", b"b", b"\x93", b"j\xff\xff\xff\x7f"),
]


class Payload:
    """Pickles as a call of os.system."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (COMMAND,)


class Target(NamedTuple):
    """How to write valid files into a folder, and how to read them."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    hostile: Callable[[Path], object] | None = None  # writes what would run something


# --- what is written and how it is read ---


def block(count: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (count, 3, FRAMES, JOINTS, 1)).astype(np.float32)


def label_file(suffix: str, protocol: int = 4) -> Target:
    content = ([f"s{i}" for i in range(5)], [0, 1, 2, 1, 0])

    def write(folder: Path) -> None:
        path = folder / f"train_label{suffix}"
        if suffix == ".pkl":
            ids: Any = np.array(content[1]) if protocol % 2 else content[1]
            path.write_bytes(pickle.dumps((content[0], ids), protocol))
        elif suffix == ".json":
            path.write_text(json.dumps(content))
        elif suffix == ".npy":
            np.save(path, np.array(content[1]))
        else:
            path.write_text("sample,label\n" + "".join(f"{n},{i}\n" for n, i in zip(*content, strict=True)))

    def hostile(folder: Path) -> None:
        if suffix == ".npy":
            np.save(folder / "train_label.npy", np.array([Payload()], dtype=object), allow_pickle=True)
        else:
            (folder / f"train_label{suffix}").write_bytes(pickle.dumps(([Payload()], [0]), protocol))

    return Target(write, lambda folder: labels.read_labels(folder / f"train_label{suffix}"), hostile)


def data_set(folder: Path) -> None:
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", block(seed=len(split)))
        (folder / f"{split}_label.pkl").write_bytes(pickle.dumps(([f"{split}{i}" for i in range(5)], [0, 1, 2, 1, 0]), 4))
    (folder / "label_map.json").write_text(json.dumps(CLASSES))
    (folder / "layout.json").write_text(json.dumps(LAYOUTS["coco"].as_plain()))
    (folder / "subjects.csv").write_text("sample,subject\ntrain0,a\ntrain1,b\nval0,a\n")


def read_array(folder: Path) -> None:
    arrays.read_set(
        *("train", str(folder / "train_data.npy"), str(folder / "train_label.pkl")),
        **{
            "channels": 3,
            "num_joints": JOINTS,
            "layout_name": "coco",
            "num_classes": 3,
            "label_map": CLASSES,
            "need_labels": True,
        },
    )


def layout_file(suffix: str) -> Target:
    plain = LAYOUTS["coco"].as_plain() | {"name": "mine"}
    text = json.dumps(plain) if suffix == ".json" else yaml.safe_dump(plain)
    return Target(lambda folder: (folder / f"mine{suffix}").write_text(text), lambda folder: resolve(folder / f"mine{suffix}"))


def described() -> dict[str, Any]:
    model = config.Model(graph_layout="coco", width=4)
    said = description.describe(model, config.Dataset(num_classes=3, label_map=CLASSES), window=FRAMES, num_persons=1)
    return said | {"epoch": 0, "step": 1, "epochs_completed": 1, "metrics": {}, "spec": {}}


def checkpoint_file(folder: Path) -> None:
    torch.manual_seed(0)
    state = {f"model.{name}": value for name, value in network.build(described()).state_dict().items()}
    torch.save({"state_dict": state, description.KEY: described(), "epoch": 0, "global_step": 1}, folder / "model.pth")


def hostile_checkpoint(folder: Path) -> None:
    torch.save({"state_dict": {"x": Payload()}}, folder / "model.pth")


def model_file(folder: Path, name: str) -> None:
    """Evaluate a model, or let it infer."""
    data = folder.parent / "test"
    if not data.exists():
        data.mkdir()
        data_set(data)
    test = {"data_path": str(data / "train_data.npy"), "label_path": str(data / "train_label.pkl")}
    own = {"checkpoint": str(folder / name), "test_dataset": test}
    inference.run({"results_dir": str(folder / "out"), "inference": own})
    evaluate.run({"results_dir": str(folder / "out"), "evaluate": own})


def onnx_bytes(metadata: str) -> bytes:
    """A network that is one matrix, and says of itself ``metadata``."""
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32), "w")
    axes = numpy_helper.from_array(np.array([2, 3, 4]), "axes")
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0), helper.make_node("MatMul", ["m", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "t", JOINTS, "m"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weights, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key=description.KEY, value=metadata)
    return bytes(model.SerializeToString())


def read_onnx(folder: Path) -> None:
    """The metadata lie beside the file, so that they are broken as JSON is; a text that protobuf cannot hold is none."""
    text = (folder / "metadata.json").read_bytes().decode("utf-8", "replace")
    (folder / "model.onnx").write_bytes(onnx_bytes(text))
    model_file(folder, "model.onnx")


def stream_lines(folder: Path) -> None:
    points = block(2)[:, :, :, :, 0].transpose(0, 2, 3, 1)
    records = [
        {"frame": f, "track": t, "time": f / 30, "joints": points[t, f].round(3).tolist()}
        for f in range(FRAMES)
        for t in (0, 1)
    ]
    (folder / "poses.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def read_stream(folder: Path) -> None:
    model = folder.parent / "streamed.onnx"
    if not model.exists():
        model.write_bytes(onnx_bytes(json.dumps(described())))
    sink = io.BytesIO()
    for on_error in ("skip", "fail"):
        with open(folder / "poses.jsonl", "rb") as source:
            given = {"input": source, "output": sink, "on_error": on_error, "min_frames": 3, "stride": 2}
            stream.run({"spec": {"inference": {"checkpoint": str(model)}}, **given})


def tables(folder: Path) -> None:
    (folder / "labels.csv").write_text("sample,label,subject,split\na,walk,anna,train\nb,fall,ben,val\n")
    (folder / "segments.csv").write_text("sample,first,last,label\na,0,10,walk\na,11,20,fall\n")


def read_tables(folder: Path) -> None:
    for name, read in (("labels.csv", annotations.read_table), ("segments.csv", annotations.read_segments)):
        try:
            read(folder / name)
        except TrainerError:
            continue


def imported(writer: Callable[[Path], None]) -> Target:
    def read(folder: Path) -> None:
        own = {"data": str(folder / "in"), "format": formats.format_of(writer), "sequence_length_min": 2}
        dataset_convert.run({"results_dir": str(folder / "out"), "dataset_convert": own})

    return Target(lambda folder: writer(folder / "in"), read)


def bodypose(folder: Path) -> None:
    formats.deepstream(folder / "made")
    shutil.copy(next((folder / "made").rglob("*.json")), folder / "bodypose.json")
    shutil.rmtree(folder / "made")


def read_bodypose(folder: Path) -> None:
    own = {"data": str(folder / "bodypose.json"), "format": "deepstream", "sequence_length_min": 2}
    dataset_convert.run({"results_dir": str(folder / "out"), "dataset_convert": own})


TARGETS: dict[str, Target] = {
    **{f"labels{protocol}.pkl": label_file(".pkl", protocol) for protocol in (0, 2, 4, 5)},
    **{f"labels{suffix}": label_file(suffix) for suffix in (".json", ".npy", ".csv")},
    "array": Target(data_set, read_array),
    "inspect": Target(data_set, lambda folder: inspect.run({"data": str(folder)})),
    "layout.json": layout_file(".json"),
    "layout.yaml": layout_file(".yaml"),
    "checkpoint": Target(checkpoint_file, lambda folder: model_file(folder, "model.pth"), hostile_checkpoint),
    "onnx": Target(lambda folder: (folder / "metadata.json").write_text(json.dumps(described())), read_onnx),
    "stream": Target(stream_lines, read_stream),
    "tables": Target(tables, read_tables),
    "bodypose": Target(bodypose, read_bodypose),
    **{f"import {writer.__name__}": imported(writer) for writer in formats.EXPECTED},
}


# --- how it is broken ---


def mutate(path: Path, rng: random.Random) -> None:
    """Break a file: as JSON where it is, inside where it is an archive, else its bytes; or put something else in its place."""
    content = path.read_bytes()
    act = rng.random()
    if path.suffix in (".json", ".jsonl") and act < 0.6:
        path.write_bytes(broken_json(content, rng, lines=path.suffix == ".jsonl"))
    elif content[:2] == b"PK" and act < 0.5:
        path.write_bytes(broken_archive(content, rng))
    elif act > 0.97:
        path.write_bytes(rng.choice([b"", b"\0" * 5000, *PIECES, content * 3]))
    else:
        path.write_bytes(broken_bytes(content, rng))


def broken_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    near = min(len(data), 300) if rng.random() < 0.5 else len(data)  # headers are short and matter most
    for _ in range(rng.randint(1, 6)):
        place, length = rng.randrange(near + 1), rng.choice([0, 1, 1, 2, 8, 60])
        piece = bytes([rng.randrange(256)]) if rng.random() < 0.5 else rng.choice(PIECES)
        data[place : place + length] = piece
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.15 else data)


def broken_archive(content: bytes, rng: random.Random) -> bytes:
    """A zip with one of its members broken, its checksums right again."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = rng.choice([name for name in names if name.endswith(("pkl", ".npy"))] or names)
        for name in names:
            new.writestr(name, broken_bytes(old.read(name), rng) if name == chosen else old.read(name))
    return made.getvalue()


def broken_json(content: bytes, rng: random.Random, *, lines: bool) -> bytes:
    if not lines:
        return broken_tree(content, rng)
    rows = content.splitlines()
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(rows))
        rows[i] = broken_tree(rows[i], rng) if rng.random() < 0.7 else rows[rng.randrange(len(rows))]
    return b"\n".join(rows) + b"\n"


def broken_tree(content: bytes, rng: random.Random) -> bytes:
    """A JSON value with some of its nodes replaced, taken away or doubled."""
    try:
        tree = json.loads(content)
    except ValueError:  # a line that is broken already
        return content
    for _ in range(rng.randint(1, 3)):
        places = list(nodes(tree))
        path = rng.choice(places if rng.random() < 0.5 else [p for p in places if len(p) <= 4])
        if not path:
            return json.dumps(rng.choice(JUNK)).encode()
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        act = rng.randint(0, 3)
        if act == 0:
            del holder[path[-1]]
        elif act == 1 and isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(rng.choice(JUNK)))
        else:
            holder[path[-1]] = copy.deepcopy(rng.choice(JUNK))
    return json.dumps(tree).encode()


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


# --- how it is watched ---


class Hang(BaseException):
    """A case took too long."""


class Watch:
    """Hears of what is executed, and ends what hangs."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGALRM, self._alarm)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if EXECUTED.match(event):
            self.heard.append(f"{event} {arguments!r}"[:200])

    def _alarm(self, _number: int, _frame: FrameType | None) -> None:
        raise Hang

    def read(self, target: Target, folder: Path) -> str | None:
        """Read the files of a case; what went wrong, or None."""
        self.heard.clear()
        signal.alarm(HANG_SECONDS)
        try:
            target.read(folder)
        except TrainerError as error:
            if not error.problems or len(str(error)) > LONGEST_MESSAGE or not all(map(str.strip, error.problems)):
                return f"a message of {len(str(error))} characters: {str(error)[:200]}"
        except (Exception, Hang):  # this is what is looked for
            return traceback.format_exc()[-3000:]
        finally:
            signal.alarm(0)
        if self.heard or any(Path.cwd().rglob("owned")):
            return f"executed: {self.heard}"
        return None


def hammer(name: str, cases: Iterator[int], seed: int, watch: Watch, place: Path) -> Iterator[dict[str, Any]]:
    """Run cases of a target; gives the failures."""
    target, folder = TARGETS[name], place / re.sub(r"\W", "_", name)
    folder.mkdir()
    target.write(folder)
    valid = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    target.read(folder)  # what is not broken is read, and what is imported late is there
    for case in cases:
        shutil.rmtree(folder)
        for path, content in valid.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        rng = random.Random(f"{name} {seed} {case}")
        if target.hostile and rng.random() < 0.05:
            target.hostile(folder)
        for path in rng.sample(list(valid), min(len(valid), rng.choice([1, 1, 1, 2, 3]))):
            if rng.random() < 0.95 or not target.hostile:
                mutate(path, rng)
        problem = watch.read(target, folder)
        if problem:
            yield {"target": name, "seed": seed, "case": case, "problem": problem}


def limit_memory() -> None:
    """From here on MEMORY more than what is taken already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def main() -> int:
    """Run the targets, print the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500, help="of each target (default 500)")
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only these")
    parser.add_argument("--list", action="store_true", help="name the targets and end")
    given = parser.parse_args()
    if given.list:
        print("\n".join(TARGETS))
        return 0
    formats.FRAMES = 6
    torch.set_num_threads(1)
    logging.disable()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        place, watch = Path(name) / "files", Watch()
        place.mkdir()
        load_all(place)
        limit_memory()
        for target in given.target or TARGETS:
            cases = range(given.cases) if given.case is None else range(given.case, given.case + 1)
            for failure in hammer(target, iter(cases), given.seed, watch, place):
                failures += 1
                print(json.dumps(failure), flush=True)
            print(f"{target}: {len(cases)} cases", file=sys.stderr, flush=True)
    return 1 if failures else 0


def load_all(place: Path) -> None:
    """Read a file of torch and of onnxruntime once, so that what the libraries take is not counted."""
    for name in ("checkpoint", "onnx"):
        folder = place / f"first_{name}"
        folder.mkdir()
        TARGETS[name].write(folder)
        TARGETS[name].read(folder)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
