"""The action ``export``: a checkpoint as an ONNX file, checked, and compared with torch before it is kept."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stgcn import checkpoint, config, crypto, files
from stgcn.action import Started, started
from stgcn.config import is_set
from stgcn.description import CALIBRATION, KEY, class_names, num_joints, preparation_of
from stgcn.errors import RefusedError, SpecError, TrainerError
from stgcn.folded import folded
from stgcn.fusion import Fused
from stgcn.network import networks_of
from stgcn.quiet import TREESPEC, quiet
from stgcn.stages import MOST_STAGES
from stgcn.streams import Inputs

log = logging.getLogger("stgcn")

TALKERS = ("torch.onnx", "onnxscript", "onnx_ir")  # what they say is for the exporter's developers
INPUT, OUTPUT, SCORES = "input", "fc_pred", "stream_scores"
TOLERANCE = 1e-4  # the largest difference allowed
LARGE_LOGIT = 10.0  # beyond it float32 itself is coarser: the allowance grows with the logits
MOST = 2**15  # sequences or frames that a graph is traced for; it runs on more
TRACED_FRAMES = 64
# What is traced of a network that masks padding: so many frames that none of its halvings leaves a single one, which the
# exporter would take for a special case. The file itself takes any length.
MASKED_FRAMES = 2 * 2**MOST_STAGES
COMPARED = ((1, 64), (3, 50), (2, 301))  # batch and frames, where time is dynamic
PERSONS = {"ntu-rgb+d": 2, "ntu_edge": 2}  # M where the checkpoint does not say


class InputShape(NamedTuple):
    """The input (batch, C, T, V, M); T is None where any length will do, and batch is always open."""

    channels: int
    frames: int | None
    joints: int
    persons: int


def run(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Export as ``spec`` says.

    Returns:
        ``metrics`` (largest difference from torch, size, input shape) and ``artifacts`` by name.

    Raises:
        TrainerError: a mistake in the spec or the checkpoint, a file in the way, or answers that differ from torch.
    """
    with started("export", spec) as action:
        return main(action)


def main(action: Started) -> dict[str, Any]:
    """Load, write aside, check, compare; only then the file takes its place."""
    settings, folder, status = action
    own = settings.export
    target = target_path(own, folder)
    status.write("RUNNING", f"Loading checkpoint: {own.checkpoint}")
    read = checkpoint.read(own.checkpoint, settings.encryption_key)
    if crypto.is_sealed(own.checkpoint):
        said = (
            f"{own.checkpoint} is encrypted, the ONNX file is not: whatever runs it has to read it. Guard it as you do the key"
        )
        log.warning(said)
        status.write("RUNNING", said)
    network, description = checkpoint.network(read, settings.model, settings.dataset)
    network.eval()
    frames = own.sequence_length if own.sequence_length > 0 else None
    window = preparation_of(description).window
    if frames and window > 0 and frames != window:
        raise SpecError(
            f"export.sequence_length is {frames}, but what this model is given has {window} frames after its preparation "
            f"(dataset.preparation.window); set it to {window}, or to -1 for any length. For a network that takes {frames} "
            "frames as they come, train with dataset.preparation.window=-1"
        )
    persons = description["num_persons"] or PERSONS.get(description["layout"]["name"], 1)
    shape = InputShape(description["input_channels"], frames, num_joints(description), persons)
    with files.replacing(target) as temporary:
        write_onnx(network, temporary, shape, own.opset_version)
        add_metadata(temporary, description, frames)
        parity = compare(network, temporary, shape)
        if not parity["ok"]:
            raise TrainerError(
                f"the ONNX file answers otherwise than torch: the largest difference is {parity['max_abs_diff']:.2e}, allowed "
                f"are {parity['tolerance']:.2e}; {target} was not written"
            )
    said = (
        f"ONNX file {target}: the largest difference from torch is {parity['max_abs_diff']:.2e}, allowed are "
        f"{parity['tolerance']:.2e} (logits up to {parity['largest_logit']:.3g})"
    )
    status.write("RUNNING", said)
    log.info(said)
    names = class_names(description)
    written = {
        "onnx": target,
        "labels": files.write_lines(target.with_name("labels.txt"), names),
        "parity": files.write_json(folder / "parity.json", parity),
    }
    return {
        "metrics": {
            "max_abs_diff": parity["max_abs_diff"],
            "tolerance": parity["tolerance"],
            "opset": own.opset_version,
            "bytes": target.stat().st_size,
            "input_shape": named_shape(shape),
            "classes": len(names),
        },
        "artifacts": {name: str(path) for name, path in written.items()},
    }


def target_path(own: config.Export, folder: Path) -> Path:
    """Where the ONNX file goes.

    Raises:
        SpecError: no checkpoint is named, or the length of a sequence is 0.
        RefusedError: the file exists and is not to be replaced.
    """
    problems = []
    if not is_set(own.checkpoint):
        problems.append("export.checkpoint is empty: set it to a .pth or .tlt file")
    if own.sequence_length == 0:
        problems.append("export.sequence_length is 0; allowed: at least 1, or -1 for any length")
    if problems:
        raise SpecError(problems)
    name = str(own.onnx_file) if is_set(own.onnx_file) else None
    target = Path(name) if name else folder / f"{Path(str(own.checkpoint)).stem}.onnx"
    if target.exists() and not own.overwrite:
        raise RefusedError(f"{target} exists and is kept; set export.overwrite=true to replace it, or another export.onnx_file")
    return target


def named_shape(shape: InputShape) -> list[int | str]:
    """The input's shape with names where any size will do."""
    return ["batch", shape.channels, shape.frames or "time", shape.joints, shape.persons]


class WithScores(nn.Module):
    """A fused network that gives its logits (N, classes) and those of each stream (N, S, classes)."""

    def __init__(self, network: Fused) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both, of sequences (N, C, T, V, M)."""
        scores = self.network.scores(x)
        return self.network.fuse(scores), scores.transpose(0, 1)


def answering(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """What is compared with the ONNX file, and the names of its outputs."""
    return (WithScores(network), [OUTPUT, SCORES]) if isinstance(network, Fused) else (network, [OUTPUT])


def write_onnx(network: nn.Module, path: Path, shape: InputShape, opset: int) -> None:
    """Write ``network``, folded, as one ONNX file; batch is dynamic, and so is time where ``shape`` leaves it open."""
    answers, outputs = answering(folded(network))
    masked = any(isinstance(part, Inputs) and part.masked for part in network.modules())
    traced = shape.frames or (MASKED_FRAMES if masked else TRACED_FRAMES)
    example = torch.zeros(2, shape.channels, traced, shape.joints, shape.persons)
    # Without a largest size older versions of torch find out that products of sizes may not fit 32 bits, and give up.
    dynamic: dict[int, Any] = {0: torch.export.Dim("batch", max=MOST)}
    if shape.frames is None:
        dynamic[2] = torch.export.Dim("time", **({"min": MASKED_FRAMES // 2} if masked else {}), max=MOST)
    with redirect_stdout(StringIO()), quiet(TALKERS, [TREESPEC], logging.ERROR):
        torch.onnx.export(
            answers.eval(),
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_shapes=(dynamic,),  # by place: versions of torch differ in the names they look for
            opset_version=opset,
            verbose=False,
        )


def add_metadata(path: Path, description: Mapping[str, Any], frames: int | None) -> None:
    """Let the file describe itself, whole under one key and in single keys for other readers; then have onnx check it."""
    import onnx

    model = onnx.load(path)
    own = {name: value for name, value in description.items() if name not in ("spec", "metrics", "history", "past")}
    if frames is not None:
        own["window"] = frames
    props = {
        KEY: json.dumps(own),
        "network": own.get("network", "ST-GCN"),
        "version": _version(),
        "class_names": json.dumps(class_names(own)),
        "label_map": json.dumps(own["label_map"]),
        "layout": json.dumps(own["layout"]),
        "window": json.dumps(own["window"]),
        "normalisation": own.get("normalisation", "none"),
        **{name: json.dumps(own[name]) for name in CALIBRATION if name in own},
        "streams": json.dumps(own.get("streams", ["joint"])),
    }
    onnx.helper.set_model_props(model, props)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def compare(network: nn.Module, path: Path, shape: InputShape) -> dict[str, Any]:
    """Run both on the same sequences, of several sizes, whole and zero-padded, drawn as widely as the training data were."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    answers, outputs = answering(network)
    cases: list[dict[str, Any]] = []
    largest = difference = 0.0
    for batch, length in COMPARED:
        frames = shape.frames or length
        whole = _sequences(network, batch, frames, shape)
        padded = whole.copy()
        padded[:, :, frames // 3 :] = 0
        for kind, sequences in (("random", whole), ("zero-padded", padded)):
            with torch.inference_mode():
                given = answers(torch.from_numpy(sequences))
            expected = [tensor.numpy() for tensor in (given if isinstance(given, tuple) else (given,))]
            found = session.run(outputs, {INPUT: sequences})
            largest = max(largest, *(float(np.abs(ours).max()) for ours in expected))
            differences = [np.abs(ours - theirs).max() for ours, theirs in zip(expected, found, strict=True)]
            case_difference = float(np.max(differences))
            difference = float(np.maximum(difference, case_difference))  # keeps NaN, which max() may lose
            cases.append({"shape": list(sequences.shape), "kind": kind, "max_abs_diff": case_difference})
    allowed = TOLERANCE * max(1.0, largest / LARGE_LOGIT)
    return {
        "ok": bool(difference <= allowed),  # NaN is not
        "max_abs_diff": difference,
        "tolerance": allowed,
        "largest_logit": largest,
        "cases": cases,
    }


def _sequences(network: nn.Module, batch: int, frames: int, shape: InputShape) -> np.ndarray:
    """Random sequences (N, C, T, V, M) float32 with the mean and spread of each channel of each joint in training.

    A network that sees no joints as they are, but bones or motion, does not know these; its sequences are drawn about zero.
    """
    rng = np.random.default_rng(frames)
    noise = rng.standard_normal((batch, shape.persons, frames, shape.joints, shape.channels))
    values = noise  # (N, M, T, V, C)
    for joined, part in networks_of(network).items():
        streams = joined.split("+")
        if "joint" not in streams:
            continue
        norm = part.get_submodule("data_bn")
        assert isinstance(norm.running_mean, Tensor)
        assert isinstance(norm.running_var, Tensor)
        first = streams.index("joint") * shape.channels
        mean, variance = (  # (1 or M, 1, V, C)
            value.numpy().reshape(-1, 1, shape.joints, len(streams) * shape.channels)[..., first : first + shape.channels]
            for value in (norm.running_mean, norm.running_var)
        )
        values = noise * np.sqrt(variance) + mean
    return np.ascontiguousarray(values.transpose(0, 4, 2, 3, 1), dtype=np.float32)  # (N, C, T, V, M)


def _version() -> str:
    try:
        return importlib.metadata.version("tao-skill-bank")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
