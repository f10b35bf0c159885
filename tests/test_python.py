"""The Python interfaces: the code of docs/python.md runs as it stands, names load late, mistakes are said in words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from trainer_cases import write_checkpoint

import runner
import stgcn
from runner import Bank
from runner.errors import StillRunning, UnknownSkill
from stgcn import config, description

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
# The toy's evaluation reads no data; all else of the document's code is the same for any skill.
TOY = {"tao-train-pose-classification": "tao-train-toy", ', dataset="data", job_id': ", job_id"}


def write_onnx(path: Path, *, channels: int = 3, classes: int = 3) -> Path:
    """A pose classifier as small as can be: the mean of every channel, times weights. It describes itself."""
    weights = np.arange(channels * classes, dtype=np.float32).reshape(channels, classes) - 1
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["poses", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("poses", TensorProto.FLOAT, ["n", channels, "t", 34, "m"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [2, 3, 4]),
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    labels = {f"c{i}": i for i in range(classes)}
    dataset = config.Dataset(num_classes=classes, label_map=labels)
    about = description.describe(config.Model(graph_layout="nvidia"), dataset, window=None, num_persons=None)
    helper.set_model_props(model, {description.KEY: json.dumps(about)})
    onnx.save(model, path)
    return path


def test_the_code_of_the_document_runs(
    tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in toy_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.txt").write_text("1 2 3")
    write_onnx(tmp_path / "model.onnx")
    code = "\n".join(BLOCKS)
    for word, other in TOY.items():
        assert word in code
        code = code.replace(word, other)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    said = capsys.readouterr().out
    assert "COMPLETE 50.0" in said
    assert "no such folder" in said
    assert "['c0', 'c1', 'c2'] 3" in said
    assert "['unknown']" in said
    assert "channels" in said
    assert "joints" in said
    assert names["job"]["hashes"]["plan"] == names["plan"].hash


@pytest.mark.slow
def test_the_code_of_the_document_runs_with_the_real_skill(tmp_path: Path) -> None:
    skill, bin_ = "tao-train-pose-classification", Path(sys.executable).parent
    calls = [["pose_classification", "sample_data", "--out", "data", "--per-class", "6", "--frames", "24"]]
    train = [
        "skillbank",
        "run",
        skill,
        "train",
        "--dataset",
        "data",
        "--automl",
        "off",
        "--set",
        "num_epochs=1",
        "--job-id",
        "t",
    ]
    calls += [train, ["skillbank", "run", skill, "export", "--parent", "t", "--job-id", "x"]]
    for words in calls:
        subprocess.run([bin_ / words[0], *words[1:]], cwd=tmp_path, check=True)
    model = tmp_path / "workspace" / "results" / "x" / "results_dir" / "model.onnx"
    (tmp_path / "model.onnx").symlink_to(model)
    subprocess.run([sys.executable, "-c", "\n".join(BLOCKS)], cwd=tmp_path, check=True, timeout=600)


def test_the_document_names_every_public_name() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    public = [name for name in vars(Bank) if not name.startswith("_")]
    table = text[text.index("| `Bank` |") :].split("\n\n")[0]
    assert [name for name in public if f"`{name}(" not in table and f" `{name}(" not in table] == []
    assert "SkillBankError" in text
    assert set(runner.__all__) <= set(dir(runner))
    assert set(stgcn.__all__) <= set(dir(stgcn))
    for package in (runner, stgcn):
        assert all(getattr(package, name) for name in package.__all__)
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            print(package.nonsense)
        assert (Path(package.__file__).parent / "py.typed").exists()


def test_a_model_in_onnx_needs_no_torch_and_the_names_load_late(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    program = (
        "import sys, runner, stgcn\n"
        "assert not {'numpy', 'runner.launch', 'stgcn.predict'} & set(sys.modules), 'loaded too early'\n"
        "import numpy as np\n"
        "print(stgcn.load('model.onnx').predict(np.ones((2, 3, 8, 34, 1))).labels)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "['c2', 'c2']"), done.stderr


def test_predictions_are_those_of_the_weights(tmp_path: Path) -> None:
    model = stgcn.load(write_onnx(tmp_path / "model.onnx"))
    data = np.zeros((3, 3, 4, 34, 2), np.float32)
    data[0, 0], data[1, 0] = 5, -5
    found = model.predict(data, batch_size=2)
    assert found.labels == ["c2", "c0", "c0"]  # weights of channel 0: -1, 0, 1
    assert found.ids.tolist() == [2, 0, 0]
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert model.predict(data, unknown_below=0.9).labels == ["c2", "c0", "unknown"]
    np.testing.assert_array_equal(model.predict(data[0]).probabilities, found.probabilities[:1])
    assert repr(model) == "<Classifier ST-GCN: 3 classes, layout nvidia>"


def test_a_checkpoint_is_taken_too_and_may_be_described(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth")
    model = stgcn.load(path)
    data = np.random.default_rng(0).normal(size=(2, 3, 16, len(model.joints), 1))
    found = model.predict(data)
    assert found.probabilities.shape == (2, 3)
    assert set(found.labels) <= set(model.classes)
    bare = write_checkpoint(tmp_path / "bare.pth", described=False)
    labels = {name: i for i, name in enumerate(model.classes)}
    spec = {"model": {"graph_layout": "coco"}, "dataset": {"num_classes": 3, "label_map": labels}}
    np.testing.assert_allclose(stgcn.load(bare, spec=spec).predict(data).probabilities, found.probabilities, atol=1e-6)


WRONG = [
    (np.zeros((2, 2, 8, 5, 1)), ["C=2 channels", "V=5 joints"]),
    (np.zeros((8, 34)), ["(N, C, T, V, M)"]),
    (np.full((1, 3, 8, 34, 1), np.nan), ["NaN"]),
    (np.array(["a"]), ["expected numbers"]),
    (np.zeros((0, 3, 8, 34, 1)), ["shape (0,"]),
]


@pytest.mark.parametrize(("data", "says"), WRONG, ids=[says[0] for _, says in WRONG])
def test_arrays_that_do_not_fit(tmp_path: Path, data: np.ndarray, says: list[str]) -> None:
    with pytest.raises(stgcn.TrainerError) as refused:
        stgcn.load(write_onnx(tmp_path / "model.onnx")).predict(data)
    assert all(any(word in problem for problem in refused.value.problems) for word in says)


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"unknown_below": 1.5}])
def test_bounds_of_a_prediction(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(stgcn.TrainerError, match="allowed"):
        stgcn.load(write_onnx(tmp_path / "model.onnx")).predict(np.zeros((1, 3, 8, 34, 1)), **given)


def test_a_bank_says_what_is_wrong_as_the_command_line_does(
    tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in toy_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKILLBANK_WORKSPACE", str(tmp_path / "elsewhere"))
    bank = Bank()
    assert bank.workspace == tmp_path / "elsewhere"
    with pytest.raises(UnknownSkill):
        bank.skill("tao-train-toi")
    (tmp_path / "data.txt").write_text("1")
    begun = runner.launch.submit(
        bank.request("tao-train-toy", "train", dataset=tmp_path, automl="off", settings={"train.seconds": 20, "train.lr": 1e-3})
    )
    assert begun["spec"]["train"]["lr"] == 0.001
    with pytest.raises(StillRunning):
        bank.wait(begun["id"], timeout=0)
    assert bank.cancel(begun["id"])["state"] == "CANCELED"
    assert [job["id"] for job in bank.jobs()] == [begun["id"]]


@pytest.mark.parametrize("first", ["import stgcn", "import runner"])
def test_onnxruntime_reports_nothing_to_its_makers(tmp_path: Path, first: str) -> None:
    """Where it does, it keeps an id of the machine and what is still to be sent below the user's home."""
    model, home = write_onnx(tmp_path / "model.onnx"), tmp_path / "home"
    home.mkdir()
    hidden = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    used = f"import os, onnxruntime\nonnxruntime.InferenceSession({str(model)!r})"
    code = f"{first}\n{used}\nprint(os.environ['ORT_DISABLE_TELEMETRY'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env={**env, "HOME": str(home)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert list(home.rglob("*")) == []
