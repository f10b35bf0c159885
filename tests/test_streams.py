"""Streams derived within the network, one network for each, and their fusion: by hand, in training and in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional
from trainer_cases import described, train_spec, write_set

from stgcn import checkpoint, config, description, evaluate, export, network, train
from stgcn.errors import CheckpointError
from stgcn.fusion import Fused, choose_weights
from stgcn.graph import LAYOUTS, parents
from stgcn.streams import Inputs

NAMES = ("joint", "bone", "joint_motion", "bone_motion")


def stream(name: str, x: torch.Tensor, **kwargs: object) -> torch.Tensor:
    """(N, C, T, V, M) of a stream."""
    rows, _ = Inputs((name,), parents(LAYOUTS["coco"]), **kwargs)(x)
    return rows.unflatten(0, (len(x), -1)).permute(0, 3, 4, 2, 1)


def test_streams_by_hand() -> None:
    """Joint by joint and frame by frame; what is missing at either end is zero."""
    x = torch.randn(2, 3, 6, 17, 2)
    x[0, :, 2, 7] = 0  # the left elbow, in one frame
    x[1, :, 4:] = 0
    way = parents(LAYOUTS["coco"])

    def difference(data: torch.Tensor, end: tuple[int, int], start: tuple[int, int], where: tuple[int, int]) -> list[float]:
        n, m = where
        a, b = data[n, :, end[0], end[1], m], data[n, :, start[0], start[1], m]
        return (a - b).tolist() if a.any() and b.any() else [0.0] * 3

    bones, moved, bones_moved = (stream(name, x) for name in NAMES[1:])
    for n, t, v, m in np.ndindex(2, 6, 17, 2):
        assert bones[n, :, t, v, m].tolist() == difference(x, (t, v), (t, way[v]), (n, m))
        last = t == 5
        assert moved[n, :, t, v, m].tolist() == ([0.0] * 3 if last else difference(x, (t + 1, v), (t, v), (n, m)))
        assert bones_moved[n, :, t, v, m].tolist() == ([0.0] * 3 if last else difference(bones, (t + 1, v), (t, v), (n, m)))
    assert torch.equal(stream("joint", x), x)
    assert moved[0].any()
    assert not bones[0, :, 2, 7].any()
    assert not bones[0, :, 2, 9].any()  # the wrist hangs on the elbow


def test_the_score_of_a_difference_is_the_lower_one() -> None:
    x = torch.rand(1, 3, 4, 17, 1) + 0.5
    way = parents(LAYOUTS["coco"])
    bones = stream("bone", x, confidence=2)
    torch.testing.assert_close(bones[:, 2], torch.minimum(x[:, 2], x[:, 2, :, way]))
    torch.testing.assert_close(bones[:, :2], x[:, :2] - x[:, :2, :, way])
    moved = stream("joint_motion", x, confidence=0)
    torch.testing.assert_close(moved[:, 0, :-1], torch.minimum(x[:, 0, 1:], x[:, 0, :-1]))
    torch.testing.assert_close(moved[:, 1:, :-1], x[:, 1:, 1:] - x[:, 1:, :-1])


def test_the_preparation_says_which_channel_is_the_score() -> None:
    prepared = {"preparation": config.Preparation(confidence_channel=2), "streams": ("bone",)}
    assert network.build(described({"width": 8}, prepared)).inputs.confidence == 2


def test_stacked_streams_are_channels_of_one_network() -> None:
    built = network.build(described({"width": 8}, {"streams": NAMES, "stream_fusion": "input"}))
    assert network.sizes(built.state_dict()).channels == 12
    x = torch.randn(2, 3, 5, 17, 1)
    rows, _ = built.inputs(x)
    expected = torch.cat([stream(name, x) for name in NAMES], dim=1)
    assert torch.equal(rows.permute(0, 2, 3, 1), expected[..., 0])
    assert built(x).shape == (2, 3)


def fused(*streams: str, **model: object) -> Fused:
    torch.manual_seed(0)
    built = network.build(described({"width": 8, "stages": (1, 1), **model}, {"streams": streams}))
    assert isinstance(built, Fused)
    return built


def test_the_fusion_is_the_weighted_mean_of_probabilities() -> None:
    built = fused(*NAMES).eval()
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1])
    built.fusion.copy_(weights)
    x = 10 * torch.randn(3, 3, 6, 17, 1)
    with torch.no_grad():
        scores, found = built.scores(x), built(x).softmax(dim=1)
    assert scores.shape == (4, 3, 3)
    torch.testing.assert_close(found, (weights[:, None, None] * scores.softmax(dim=2)).sum(dim=0))
    for i, name in enumerate(NAMES):
        assert built.streams[i] == name
        with torch.no_grad():
            assert torch.equal(scores[i], built.networks[name](x))


def test_trained_side_by_side_is_trained_apart() -> None:
    """The sum of the streams' losses gives each network the gradient of its own, and nothing of the others'."""
    together, apart = fused("joint", "bone"), fused("joint", "bone")
    apart.load_state_dict(together.state_dict())
    x, labels = torch.randn(4, 3, 6, 17, 1), torch.tensor([0, 1, 2, 0])
    together.train()
    torch.manual_seed(1)
    sum(functional.cross_entropy(scores, labels) for scores in together.scores(x)).backward()
    torch.manual_seed(1)
    for part in apart.train().networks.values():
        functional.cross_entropy(part(x), labels).backward()
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def confident(rights: list[int], labels: np.ndarray) -> np.ndarray:
    """Logits (1, N, 3) that are sure of the true class in the sequences ``rights``, and of the next one elsewhere."""
    told = np.array([label if i in rights else (label + 1) % 3 for i, label in enumerate(labels)])
    return (4.0 * np.eye(3)[told])[None].astype(np.float32)


def test_weights_follow_from_who_is_right() -> None:
    labels = np.arange(120) % 3
    good, bad = confident(list(range(110)), labels), confident(list(range(40)), labels)
    weights = choose_weights(np.concatenate([bad, good]), labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.85
    assert weights.min() > 0.01

    def loss(w: float) -> float:
        probs = np.exp(np.concatenate([bad, good])).astype(float)
        probs /= probs.sum(axis=2, keepdims=True)
        mixed = w * probs[0] + (1 - w) * probs[1]
        prior = 5 * (np.log(w) + np.log(1 - w))
        return float(-np.log(mixed[np.arange(120), labels]).sum() - prior)

    grid = np.linspace(0.001, 0.999, 999)
    assert weights[0] == pytest.approx(grid[np.argmin([loss(w) for w in grid])], abs=2e-3)


def test_a_tiny_validation_set_picks_no_extremes() -> None:
    labels = np.array([0, 1, 2])
    scores = np.concatenate([confident([0, 1, 2], labels), confident([], labels), confident([], labels)])
    weights = choose_weights(scores, labels)
    assert 1 / 3 < weights[0] < 0.5
    assert weights[1] == pytest.approx(weights[2])
    assert weights[1] > 0.25


def test_weights_of_hopeless_scores_are_numbers() -> None:
    labels = np.zeros(4, np.int64)
    scores = np.full((2, 4, 3), -1e30, np.float32)
    scores[:, :, 1] = 1e30
    assert choose_weights(scores, labels).tolist() == [0.5, 0.5]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """A small fused network, trained, and how it evaluates."""
    folder = tmp_path_factory.mktemp("fused")
    spec = train_spec(folder, folder / "results", num_epochs=2)
    spec["model"] |= {"model_type": "ST-GCN", "width": 8, "stages": [1], "padding": "masked"}
    spec["dataset"]["streams"] = ["bone", "joint"]
    result = train.run(spec)
    test = write_set(folder, "test", 6, seed=9)
    evaluated = evaluated_by(folder / "torch", result["artifacts"]["checkpoint"], test)
    return folder, result, evaluated


def evaluated_by(folder: Path, model: str, test: dict) -> dict:
    return evaluate.run({"results_dir": str(folder), "evaluate": {"checkpoint": model, "test_dataset": test}})


def test_evaluate_says_how_each_stream_does(trained: tuple[Path, dict, dict]) -> None:
    folder, result, evaluated = trained
    metrics = evaluated["metrics"]
    assert result["metrics"]["gflop_per_sequence"] > 0
    read = checkpoint.read(result["artifacts"]["checkpoint"])
    built, about = checkpoint.network(read, config.Model(), config.Dataset())
    assert list(metrics["streams"]) == list(metrics["fusion"]["weights"]) == about["streams"] == ["bone", "joint"]
    assert sum(metrics["fusion"]["weights"].values()) == pytest.approx(1, abs=1e-6)
    assert built.fusion.tolist() == list(metrics["fusion"]["weights"].values()) != [0.5, 0.5]
    data, labels = np.load(folder / "test_data.npy"), np.arange(6) % 3
    with torch.no_grad():
        scores = built.eval().scores(torch.from_numpy(data))
    accuracies = [100 * (s.argmax(dim=1).numpy() == labels).mean() for s in scores]
    assert list(metrics["streams"].values()) == pytest.approx(accuracies)
    assert json.loads((folder / "torch" / "evaluate" / "metrics.json").read_text())["streams"] == metrics["streams"]


def test_a_masked_model_takes_any_number_of_slots(trained: tuple[Path, dict, dict], tmp_path: Path) -> None:
    """Trained with one person slot, evaluated with three, of which two are empty: the answers are the same."""
    _, result, evaluated = trained
    test = write_set(tmp_path, "test", 6, seed=9)
    data = np.load(test["data_path"])
    np.save(test["data_path"], np.concatenate([np.zeros_like(data), data, np.zeros_like(data)], axis=-1))
    metrics = evaluated_by(tmp_path / "more", result["artifacts"]["checkpoint"], test)["metrics"]
    assert metrics["loss"] == pytest.approx(evaluated["metrics"]["loss"], abs=1e-5)


def test_the_onnx_file_carries_streams_and_fusion(trained: tuple[Path, dict, dict]) -> None:
    folder, result, evaluated = trained
    exported = export.run({"results_dir": str(folder), "export": {"checkpoint": result["artifacts"]["checkpoint"]}})
    model = onnx.load(exported["artifacts"]["onnx"])
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.output}
    assert shapes == {"fc_pred": ["batch", 3], "stream_scores": ["batch", 2, 3]}
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert (props["network"], json.loads(props["streams"])) == ("ST-GCN", ["bone", "joint"])
    test = {"data_path": str(folder / "test_data.npy"), "label_path": str(folder / "test_label.pkl")}
    metrics = evaluated_by(folder / "onnx", exported["artifacts"]["onnx"], test)["metrics"]
    assert metrics["streams"] == evaluated["metrics"]["streams"]
    assert metrics["fusion"]["weights"] == pytest.approx(evaluated["metrics"]["fusion"]["weights"])
    assert metrics["loss"] == pytest.approx(evaluated["metrics"]["loss"], abs=1e-5)


def test_a_model_of_one_network_has_no_streams_to_tell_of(tmp_path: Path) -> None:
    assert evaluate.each_stream({}, np.zeros(3), {}) == {}


def written(path: Path, built: torch.nn.Module, about: dict) -> Path:
    """A checkpoint of ``built`` that describes itself."""
    state = {f"model.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, description.KEY: about | {"epochs_completed": 1, "spec": {}}}, path)
    return path


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"streams": ["joint", "nose"]}, "'nose', which is not one of"),
        ({"fusion": [0.5]}, "1 weights for 2 streams"),
        ({"fusion": "equal"}, "no weights of streams"),
        ({"network": "GCN"}, "known are ST-GCN, ST-GCN++, CTR-GCN"),
        ({"width": "wide"}, "model.width is 'wide'"),
        ({"stages": 3}, "model.stages is 3"),
        ({"padding": "none"}, "its padding is 'none'"),
        ({"person_slots": 2}, "person_slots is 2"),
        ({"streams": ["bone", "joint_motion"]}, "networks.joint_motion.data_bn.weight: not in the file"),
    ],
)
def test_a_broken_description_is_refused(tmp_path: Path, changed: dict, words: str) -> None:
    built = fused("joint", "bone")
    about = described({"width": 8, "stages": (1, 1)}, {"streams": ("joint", "bone")}) | changed
    path = written(tmp_path / "model.pth", built, about)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.network(checkpoint.read(path), config.Model(), config.Dataset())
    assert words in str(caught.value)


def test_a_spec_that_says_otherwise_is_told_all(tmp_path: Path) -> None:
    about = described({"width": 8, "stages": (1, 1)}, {"streams": ("joint", "bone")})
    path = written(tmp_path / "model.pth", fused("joint", "bone"), about)
    model = config.Model(model_type="CTR-GCN", width=16, stages=(2, 2), padding="masked")
    dataset = config.Dataset(streams=("bone",), stream_fusion="input")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.network(checkpoint.read(path), model, dataset)
    keys = ("model_type", "width", "stages", "padding", "streams", "stream_fusion")
    assert [key for key in keys if f".{key}: the checkpoint holds" not in str(caught.value)] == [], str(caught.value)


def test_weights_go_over_by_stream() -> None:
    """One stream starts all of a fused network; of a fused one the same stream is taken."""
    one, both = network.build(described({"width": 8, "stages": (1, 1)})), fused("joint", "bone")
    spread = network.for_streams(both, one.state_dict())
    assert set(spread) == set(both.state_dict()) - {"fusion"}
    assert torch.equal(spread["networks.bone.fcn.weight"], one.fcn.weight)
    taken = network.for_streams(one, both.state_dict())
    assert set(taken) == set(one.state_dict())
    assert torch.equal(taken["fcn.weight"], both.networks["joint"].fcn.weight)
    bone = network.build(described({"width": 8, "stages": (1, 1)}, {"streams": ("bone",)}))
    assert torch.equal(network.for_streams(bone, both.state_dict())["fcn.weight"], both.networks["bone"].fcn.weight)
