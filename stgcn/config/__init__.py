"""Every setting of the five actions, declared once: type, default, sentence, bounds, choices, search range.

The JSON Schemas, the spec templates and the manifest are generated from here. Standard library only; knows no tensors.
"""

from stgcn.config.actions import (
    ACTIONS,
    Common,
    DatasetConvertSpec,
    Evaluate,
    EvaluateSpec,
    Export,
    ExportSpec,
    Inference,
    InferenceSpec,
    TrainSpec,
    Wandb,
)
from stgcn.config.convert import DatasetConvert
from stgcn.config.data import Augmentation, DataPaths, Dataset, Preparation, Stream
from stgcn.config.declare import MAX_COUNT, UNSET, from_dict, is_set, section, setting
from stgcn.config.network import LAYOUT_NAMES, Model
from stgcn.config.training import Cudnn, Optim, Train

__all__ = [
    "ACTIONS",
    "LAYOUT_NAMES",
    "MAX_COUNT",
    "UNSET",
    "Augmentation",
    "Common",
    "Cudnn",
    "DataPaths",
    "Dataset",
    "DatasetConvert",
    "DatasetConvertSpec",
    "Evaluate",
    "EvaluateSpec",
    "Export",
    "ExportSpec",
    "Inference",
    "InferenceSpec",
    "Model",
    "Optim",
    "Preparation",
    "Stream",
    "Train",
    "TrainSpec",
    "Wandb",
    "from_dict",
    "is_set",
    "section",
    "setting",
]
