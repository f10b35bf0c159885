"""The settings of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stgcn.config.declare import setting

LAYOUT_NAMES = (
    *("nvidia", "openpose", "human3.6m", "ntu-rgb+d", "ntu_edge", "coco"),  # TAO's
    *("body_25", "halpe_26", "mediapipe_33", "hand_21", "kinect_v1_20", "smpl_24"),
)


@dataclass(frozen=True)
class Model:
    """The network."""

    model_type: Literal["ST-GCN", "ST-GCN++", "CTR-GCN", "Sep-GCN"] = setting(
        "ST-GCN",
        "Network: the spatial temporal graph convolutional network of 2018, its leaner successor with adaptive graphs and "
        "several temporal branches, one that refines the graph channel by channel, or a small one of separable convolutions.",
        popular=True,
    )
    pretrained_model_path: str | None = setting(
        "", "Checkpoint whose weights start the training; what fits is loaded, what does not is listed."
    )
    input_channels: int = setting(
        3, "Channels C of a keypoint: 3 for x, y, z or x, y, score; 2 for x, y.", minimum=1, popular=True
    )
    dropout: float = setting(
        0.5,
        "Dropout: after the temporal convolution of every block but the first, or before the classifier (CTR-GCN).",
        minimum=0.0,
        maximum=1.0,
        popular=True,
        searchable=True,
        automl_range=(0.0, 0.7),
        automl_scale="linear",
    )
    graph_layout: str = setting(
        "nvidia",
        "Skeleton: which joints there are and which of them are connected; a built-in one, or a file that says so.",
        popular=True,
        choices=LAYOUT_NAMES,
        file_suffixes=(".yaml", ".yml", ".json"),
    )
    graph_strategy: Literal["uniform", "distance", "spatial"] = setting(
        "spatial", "How the neighbours of a joint are partitioned for the graph convolution.", popular=True
    )
    edge_importance_weighting: bool = setting(
        True, "Learn a weight for every edge of every block of ST-GCN; the other networks learn the graph itself."
    )
    width: int = setting(
        64,
        "Channels of the first stage of blocks, at least 6 for ST-GCN++, a multiple of 8 for Sep-GCN; each further stage has "
        "twice as many.",
        minimum=4,
        maximum=1024,
        automl_range=(16, 96),
        automl_scale="linear",
        math_cond="/ 8",
    )
    stages: tuple[int, ...] = setting(
        (4, 3, 3), "Blocks of each stage, 1 to 8 stages; every stage but the first halves the frames."
    )
    padding: Literal["counted", "masked"] = setting(
        "counted",
        "Zero frames at the end of a sequence and empty person slots: counted like data, or masked, so that neither batch "
        "norm nor pooling sees them.",
    )
