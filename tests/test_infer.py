from __future__ import annotations

import copy

import pytest

from runner import bank, infer
from runner.errors import CannotInfer, ParentError, SchemaInvalid

RESULTS = "/w/results/pose_classification-evaluate-1/results_dir"
TRAINED = {
    "id": "pose_classification-train-1",
    "action": "train",
    "network_arch": "pose_classification",
    "state": "COMPLETE",
    "spec": {
        "model": {"graph_layout": "coco", "pretrained_model_path": ""},
        "encryption_key": "***",
        "dataset": {"num_classes": 4},
    },
    "checkpoints": [
        {"path": "/r/a/model_epoch_000_step_00003.pth", "epoch": 0, "step": 3, "val_loss": 1.0, "best": True},
        {"path": "/r/a/model_epoch_001_step_00006.pth", "epoch": 1, "step": 6, "val_loss": 2.0, "best": False},
    ],
    "artifacts": {},
}
EXPORTED = {
    **TRAINED,
    "id": "pose_classification-export-1",
    "action": "export",
    "checkpoints": [],
    "artifacts": {"onnx": "/r/e/model.onnx"},
}
BEST, LATEST = (c["path"] for c in TRAINED["checkpoints"])


def job(**changed):
    view = infer.JobView(
        id="pose_classification-evaluate-1",
        action="evaluate",
        network_arch="pose_classification",
        key="evaluate.checkpoint",
        results_dir=RESULTS,
        spec={},
    )
    return view._replace(**changed)


def value(name, view=None, parent=None):
    return infer.INFERENCES[name](view or job(), parent)


@pytest.mark.parametrize(
    ("name", "view", "parent", "expected"),
    [
        ("output_dir", job(), None, RESULTS),
        ("key", job(), None, None),
        ("key", job(encryption_key="k"), None, "k"),
        ("verbose", job(), None, True),
        ("create_onnx_file", job(), None, f"{RESULTS}/model.onnx"),
        ("create_inference_result_file_pose", job(), None, f"{RESULTS}/results.txt"),
        ("parent_model", job(), None, None),
        ("parent_model", job(), TRAINED, BEST),
        ("parent_model", job(parent_choice="latest"), TRAINED, LATEST),
        ("parent_model", job(parent_choice="epoch:1"), TRAINED, LATEST),
        ("parent_model", job(parent_choice="step:3"), TRAINED, BEST),
        ("parent_model", job(), EXPORTED, "/r/e/model.onnx"),
        ("parent_model_folder", job(), TRAINED, "/r/a"),
        ("parent_model_folder", job(), None, None),
        ("parent_model_or_ptm", job(pretrained="/p.pth"), TRAINED, BEST),
        ("parent_model_or_ptm", job(pretrained="/p.pth"), None, "/p.pth"),
        ("parent_spec", job(key="model.graph_layout"), TRAINED, "coco"),
        ("parent_spec", job(key="model.pretrained_model_path"), TRAINED, None),
        ("parent_spec", job(key="encryption_key"), TRAINED, None),
        ("parent_spec", job(key="model.graph_layout"), None, None),
        ("ptm", job(action="train", pretrained="/p.pth"), TRAINED, "/p.pth"),
        ("ptm", job(action="train"), TRAINED, BEST),
        ("ptm", job(action="train"), {**TRAINED, "action": "dataset_convert"}, None),
        ("ptm", job(action="evaluate"), TRAINED, None),
        ("ptm", job(action="train"), None, None),
        ("ptm_if_no_resume_model", job(action="train", pretrained="/p.pth"), None, "/p.pth"),
        ("ptm_if_no_resume_model", job(action="train", pretrained="/p.pth", resume=TRAINED), None, None),
        ("resume_model", job(action="train"), None, None),
        ("resume_model", job(action="train", resume=TRAINED), None, LATEST),
        ("resume_model", job(action="train", resume=TRAINED, parent_choice="epoch:0"), None, BEST),
        ("resume_model", job(action="train", resume={**TRAINED, "state": "CANCELED"}), None, LATEST),
        ("resume_model", job(action="train", resume={**TRAINED, "state": "ERROR"}), None, LATEST),
        ("resume_model_or_ptm", job(action="train", resume=TRAINED, pretrained="/p.pth"), None, LATEST),
        ("resume_model_or_ptm", job(action="train", pretrained="/p.pth"), None, "/p.pth"),
    ],
)
def test_inferences(name, view, parent, expected):
    before = copy.deepcopy((view, parent))
    assert value(name, view, parent) == expected
    assert (view, parent) == before


def test_a_resume_path_in_the_spec_counts_as_resuming():
    view = job(action="train", pretrained="/p.pth", spec={"train": {"resume_training_checkpoint_path": "/mine.pth"}})
    assert value("ptm_if_no_resume_model", view) is None
    assert value("resume_model_or_ptm", view) is None


@pytest.mark.parametrize(
    ("own", "epochs", "expected"), [(10, 3, 3), (2, 3, None), (3, 3, None), (None, 3, 3), ("???", 3, 3), (None, None, None)]
)
def test_assign_const_value_takes_the_smallest(own, epochs, expected):
    spec = {"train": {"checkpoint_interval": own, "num_epochs": epochs}}
    for name in ("train.num_epochs", "num_epochs"):
        view = job(spec=spec, key="train.checkpoint_interval", arguments=(name,))
        assert value("assign_const_value", view) == expected


@pytest.mark.parametrize(
    ("parent", "error", "phrase"),
    [
        ({**TRAINED, "state": "RUNNING"}, ParentError, "is RUNNING, not COMPLETE"),
        ({**TRAINED, "state": "ERROR"}, ParentError, "is ERROR, not COMPLETE"),
        ({**TRAINED, "state": "CANCELED"}, ParentError, "--resume"),
        ({**TRAINED, "checkpoints": []}, ParentError, "has no checkpoint"),
        ({**TRAINED, "network_arch": "detectnet"}, ParentError, "is of the network detectnet"),
        ({**TRAINED, "action": "evaluate"}, CannotInfer, "is an evaluate job, which makes no model"),
        (
            {**TRAINED, "action": "inference"},
            CannotInfer,
            "makes no model; allowed: a train or an AutoML job, or an export job",
        ),
        ({**TRAINED, "action": "dataset_convert"}, CannotInfer, "evaluate.checkpoint cannot be inferred"),
        ({**EXPORTED, "artifacts": {}}, CannotInfer, "recorded no ONNX file"),
    ],
)
def test_parents_that_do_not_fit(parent, error, phrase):
    with pytest.raises(error) as caught:
        value("parent_model", job(), parent)
    assert phrase in str(caught.value)
    assert caught.value.exit_code == 5


def test_an_export_is_not_exported_or_trained_from():
    with pytest.raises(CannotInfer, match="cannot be exported again"):
        value("parent_model", job(action="export", key="export.checkpoint"), EXPORTED)
    with pytest.raises(CannotInfer, match="training starts from a checkpoint"):
        value("ptm", job(action="train"), EXPORTED)


def test_an_epoch_that_is_not_there_lists_what_is():
    with pytest.raises(ParentError, match="epoch:0 step:3, epoch:1 step:6"):
        value("parent_model", job(parent_choice="epoch:7"), TRAINED)


@pytest.mark.parametrize(
    ("resumed", "phrase"),
    [
        ({**TRAINED, "state": "RUNNING"}, "after it has ended"),
        ({**TRAINED, "network_arch": "x"}, "is of the network x"),
        ({**TRAINED, "action": "evaluate"}, "allowed: a train job"),
        ({**TRAINED, "checkpoints": []}, "has no checkpoint"),
    ],
)
def test_jobs_that_cannot_be_resumed(resumed, phrase):
    with pytest.raises(ParentError, match=phrase):
        value("resume_model", job(action="train", resume=resumed))


def test_fill_says_what_it_filled_and_from_where():
    params = {
        "encryption_key": "key",
        "results_dir": "output_dir",
        "evaluate.checkpoint": "parent_model",
        "model.graph_layout": "parent_spec",
    }
    spec = {"results_dir": "", "encryption_key": None, "evaluate": {"checkpoint": ""}, "model": {"graph_layout": "nvidia"}}
    before = copy.deepcopy(spec)
    filled, inferred = infer.fill(spec, params, job(), TRAINED, set())
    assert spec == before
    assert filled["evaluate"]["checkpoint"] == BEST
    assert filled["model"]["graph_layout"] == "coco"
    assert [(i.key, i.function, i.source) for i in inferred] == [
        ("results_dir", "output_dir", "this job"),
        ("evaluate.checkpoint", "parent_model", "job pose_classification-train-1"),
        ("model.graph_layout", "parent_spec", "job pose_classification-train-1"),
    ]


def test_fill_never_overwrites_the_users_word():
    params = {"results_dir": "output_dir", "evaluate.checkpoint": "parent_model"}
    spec = {"results_dir": "", "evaluate": {"checkpoint": "/mine.pth"}}
    filled, inferred = infer.fill(spec, params, job(), {**TRAINED, "checkpoints": []}, {"evaluate.checkpoint"})
    assert filled["evaluate"]["checkpoint"] == "/mine.pth"
    assert [i.key for i in inferred] == ["results_dir"]


def test_fill_sees_what_was_filled_before():
    params = {
        "train.validation_interval": "assign_const_value,num_epochs",
        "train.checkpoint_interval": "assign_const_value,train.validation_interval",
    }
    spec = {"train": {"num_epochs": 2, "validation_interval": 5, "checkpoint_interval": 10}}
    filled, _ = infer.fill(spec, params, job(action="train"), None, set())
    assert filled["train"] == {"num_epochs": 2, "validation_interval": 2, "checkpoint_interval": 2}


def test_fill_names_sources_of_pretrained_resumed_and_key():
    params = {"a": "ptm", "b": "resume_model", "c": "key"}
    view = job(action="train", pretrained="/p.pth", resume=TRAINED, encryption_key="k")
    _, inferred = infer.fill({}, params, view, None, set())
    assert [i.source for i in inferred] == [
        "the pretrained model", "job pose_classification-train-1", "the encryption key of the surroundings"
    ]  # fmt: skip


def test_unknown_functions_are_refused():
    with pytest.raises(SchemaInvalid, match="no inference 'guess'"):
        infer.fill({}, {"a": "guess"}, job(), None, set())


def test_the_mapping_of_the_skill_is_covered():
    wanted = {
        ("dataset_convert", "dataset_convert.results_dir"): "output_dir",
        ("evaluate", "encryption_key"): "key",
        ("evaluate", "evaluate.checkpoint"): "parent_model",
        ("evaluate", "results_dir"): "output_dir",
        ("export", "encryption_key"): "key",
        ("export", "export.checkpoint"): "parent_model",
        ("export", "export.onnx_file"): "create_onnx_file",
        ("export", "results_dir"): "output_dir",
        ("inference", "encryption_key"): "key",
        ("inference", "inference.checkpoint"): "parent_model",
        ("inference", "inference.output_file"): "create_inference_result_file_pose",
        ("inference", "results_dir"): "output_dir",
        ("train", "encryption_key"): "key",
        ("train", "model.pretrained_model_path"): "ptm_if_no_resume_model",
        ("train", "results_dir"): "output_dir",
        ("train", "train.resume_training_checkpoint_path"): "resume_model",
    }
    skill = bank.get("tao-train-pose-classification")
    for (action, key), function in wanted.items():
        assert skill.action(action).spec_params[key] == function
        assert function in infer.INFERENCES
