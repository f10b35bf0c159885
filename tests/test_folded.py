"""The network as an ONNX file has it: the answers of the textbook network with either padding, and fewer operations."""

from __future__ import annotations

import collections
from pathlib import Path

import onnx
import pytest
import torch
from test_fast import network, sequences

from stgcn.export import InputShape, write_onnx
from stgcn.folded import folded
from stgcn.fusion import Fused
from stgcn.graph import LAYOUTS, parents
from stgcn.streams import Inputs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("settings", [{}, {"width": 16, "stages": [1, 2, 1]}, {"edge_importance_weighting": False}])
def test_answers_are_those_of_the_textbook_network(masked: bool, settings: dict) -> None:
    model = network(inputs=Inputs(masked=masked), **settings)
    x = sequences([0, 1, 9, 33, 40], 40, joints=17, persons=2)
    with torch.inference_mode():
        expected, found = model(x), folded(model)(x)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-5)


def test_streams_are_folded_one_by_one() -> None:
    tree = parents(LAYOUTS["coco"])
    parts = {name: network(seed=seed, inputs=Inputs([name], tree)) for seed, name in enumerate(("joint", "bone"))}
    fused = Fused(parts).eval()
    fused.fusion.copy_(torch.tensor([0.3, 0.7]))
    x = sequences([5, 20], 20, joints=17)
    with torch.inference_mode():
        torch.testing.assert_close(folded(fused)(x), fused(x), rtol=2e-5, atol=1e-5)


def test_a_network_of_another_kind_stays_as_it_is() -> None:
    other = torch.nn.Linear(3, 2)
    assert folded(other) is other


def test_the_file_holds_no_batch_norm_and_one_product_for_each_graph(tmp_path: Path) -> None:
    write_onnx(network(width=8, stages=[1, 1]), tmp_path / "model.onnx", InputShape(3, None, 17, 1), 18)
    counted = collections.Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert not counted["BatchNormalization"]
    assert not counted["Einsum"]
    assert counted["Conv"] == 2 * 2 + 1  # two in each block, and one shortcut
