"""The settings of evaluation, prediction and export, and the specs of all actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stgcn.config.convert import DatasetConvert
from stgcn.config.data import DataPaths, Dataset
from stgcn.config.declare import section, setting
from stgcn.config.network import Model
from stgcn.config.training import Train


@dataclass(frozen=True)
class Wandb:
    """Weights & Biases logging."""

    enable: bool = setting(False, "Log the training to Weights & Biases; without an API key the run is kept offline.")
    project: str | None = setting("TAO Toolkit", "Project the run belongs to.")
    entity: str | None = setting("", "User or team the run belongs to.")
    group: str | None = setting("", "Group of runs this one belongs to.")
    tags: tuple[str, ...] = setting(("tao-toolkit",), "Tags of the run.")
    reinit: bool = setting(False, "Allow a second run in the same process.")
    sync_tensorboard: bool = setting(False, "Copy TensorBoard scalars to the run.")
    save_code: bool = setting(False, "Store the main script with the run.")
    name: str | None = setting("TAO Toolkit Training", "Name of the run.")
    run_id: str | None = setting("", "Id of an existing run to continue.")


@dataclass(frozen=True)
class Evaluate:
    """Evaluation."""

    num_gpus: int = setting(1, "GPUs to evaluate on; one is used.", minimum=1)
    gpu_ids: tuple[int, ...] = setting((0,), "Which GPU, by index.")
    num_nodes: int = setting(1, "Machines to evaluate on; only 1 is supported.", minimum=1)
    checkpoint: str | None = setting("", "Model to evaluate: .pth, .tlt or .onnx.", popular=True)
    trt_engine: str | None = setting("", "Not supported here: evaluate the checkpoint or the ONNX file.")
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/evaluate.")
    batch_size: int = setting(-1, "Sequences per step; -1 takes dataset.batch_size.", minimum=-1)
    test_dataset: DataPaths = section(DataPaths, "Sequences to evaluate on.")
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "Numbers that a checkpoint computes with; bf16 is sooner where the machine has it, and near, not equal."
    )
    provider: Literal["cpu", "cuda", "tensorrt", "openvino"] = setting(
        "cpu", "Execution provider of onnxruntime for an ONNX file; all but cpu need a build of onnxruntime that has it."
    )


@dataclass(frozen=True)
class Inference:
    """Prediction."""

    num_gpus: int = setting(1, "GPUs to predict on; one is used.", minimum=1)
    gpu_ids: tuple[int, ...] = setting((0,), "Which GPU, by index.")
    num_nodes: int = setting(1, "Machines to predict on; only 1 is supported.", minimum=1)
    checkpoint: str | None = setting("", "Model to predict with: .pth, .tlt or .onnx.", popular=True)
    trt_engine: str | None = setting("", "Not supported here: use the checkpoint or the ONNX file.")
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/inference.")
    batch_size: int = setting(-1, "Sequences per step; -1 takes dataset.batch_size.", minimum=-1)
    test_dataset: DataPaths = section(DataPaths, "Sequences to classify; labels are not needed.")
    output_file: str | None = setting(
        "", "One class name per line, in the order of the data; empty: results.txt in the results folder."
    )
    top_k: int = setting(5, "Classes with probabilities per sequence in the JSON lines file beside output_file.", minimum=1)
    unknown_below: float = setting(
        0.0, "Sequences whose highest probability is lower are called unknown; 0 calls none so.", minimum=0.0, maximum=1.0
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "Numbers that a checkpoint computes with; bf16 is sooner where the machine has it, and near, not equal."
    )
    provider: Literal["cpu", "cuda", "tensorrt", "openvino"] = setting(
        "cpu", "Execution provider of onnxruntime for an ONNX file; all but cpu need a build of onnxruntime that has it."
    )


@dataclass(frozen=True)
class Export:
    """Export to ONNX."""

    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/export.")
    checkpoint: str | None = setting("", "Checkpoint to export: .pth or .tlt.", popular=True)
    onnx_file: str | None = setting("", "ONNX file to write; empty: the checkpoint's name in the results folder.", popular=True)
    gpu_id: int = setting(0, "Kept for TAO specs; the export runs on the CPU.", minimum=0)
    sequence_length: int = setting(
        -1, "Frames T of the input; -1 leaves time dynamic, a fixed length is what TensorRT and DeepStream ask for.", minimum=-1
    )
    opset_version: int = setting(18, "ONNX operator set.", minimum=18, maximum=23)
    overwrite: bool = setting(False, "Replace an existing ONNX file.")


@dataclass(frozen=True)
class Common:
    """Settings every action has."""

    encryption_key: str | None = setting(None, "Passphrase for checkpoints at rest.", secret=True)
    results_dir: str | None = setting("", "Root folder of the results.", popular=True)
    model_name: str | None = setting("", "Name of the model in logs.")
    wandb: Wandb = section(Wandb, "Weights & Biases logging.")


@dataclass(frozen=True)
class TrainSpec(Common):
    """Spec of ``train``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    train: Train = section(Train, "Training.")


@dataclass(frozen=True)
class EvaluateSpec(Common):
    """Spec of ``evaluate``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    evaluate: Evaluate = section(Evaluate, "Evaluation.")


@dataclass(frozen=True)
class ExportSpec(Common):
    """Spec of ``export``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    export: Export = section(Export, "Export to ONNX.")


@dataclass(frozen=True)
class InferenceSpec(Common):
    """Spec of ``inference``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    inference: Inference = section(Inference, "Prediction.")


@dataclass(frozen=True)
class DatasetConvertSpec(Common):
    """Spec of ``dataset_convert``."""

    dataset_convert: DatasetConvert = section(DatasetConvert, "Conversion of keypoints.")


ACTIONS: dict[str, type] = {
    "dataset_convert": DatasetConvertSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "export": ExportSpec,
    "inference": InferenceSpec,
}
