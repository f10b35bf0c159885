from __future__ import annotations

from types import SimpleNamespace

import pytest

from runner import bank, match
from runner.errors import NoMatch

POSE, AUTOML = "tao-train-pose-classification", "tao-run-automl"


@pytest.fixture(scope="module")
def skills():
    return bank.skills()


@pytest.mark.parametrize(
    ("phrase", "action", "word"),
    [
        ("train pose classification", "train", None),
        ("Train pose classification on these keypoints.", "train", None),
        ("skeleton action recognition", "train", None),
        ("ST-GCN", "train", None),
        ("stgcn", "train", None),
        ("fit an st gcn on NTU joints", "train", None),
        ("keypoint sequence classifier", "train", None),
        ("I need a classifier for key point sequences", "train", None),
        ("Build me a gesture classifier from MediaPipe landmarks", "train", None),
        ("recognise exercises from OpenPose skeletons", "train", None),
        ("train a fall detector on skeletons", "train", None),
        ("fine-tune the pretrained ST-GCN on my classes", "train", None),
        ("resume the pose classification training", "train", None),
        ("train, evaluate and export pose classification", "train", None),
        # typing errors
        ("tarin pose classifcation", "train", None),
        ("trian pose clasification on keypionts", "train", None),
        ("skelton action recogntion", "train", None),
        ("evalute the pose classfier", "evaluate", None),
        ("exprot pose classification to onxn", "export", None),
        # AutoML on and off
        ("train pose classification, turn off AutoML", "train", "off"),
        ("Turn off AutoML and train ST-GCN", "train", "off"),
        ("train pose classification with AutoML turned off", "train", "off"),
        ("disable auto-ml; skeleton action recognition", "train", "off"),
        ("train pose classification, no HPO", "train", "off"),
        ("plain training of pose classification", "train", "off"),
        ("train pose classification without hyperparameter search", "train", "off"),
        ("train ST-GCN without automl", "train", "off"),
        ("don't use AutoML, train pose classification", "train", "off"),
        ("Trainiere ST-GCN ohne AutoML", "train", "off"),
        ("train pose classification with AutoML", "train", "on"),
        ("turn on automl and train the pose classifier", "train", "on"),
        ("tune the hyperparameters of my skeleton classifier", "train", "on"),
        ("don't turn off AutoML when you train pose classification", "train", "on"),
        ("Schalte AutoML ab und trainiere die Posenklassifikation", "train", "off"),
        ("Just a single run without search: skeleton gesture classifier", "train", "off"),
        ("cross-validate a skeleton action classifier with 5 folds", "train", None),
        # the other actions
        ("这个动作识别骨架模型的准确率是多少", "evaluate", None),
        ("Wie gut erkennt mein Skelettmodell die Übungen?", "evaluate", None),
        ("Sag mir für diese Skelettaufnahmen, welche Geste zu sehen ist", "inference", None),
        ("produce a deployable file of the pose classifier", "export", None),
        ("evaluate the pose classification model", "evaluate", None),
        ("what accuracy does my skeleton action recognition model reach?", "evaluate", None),
        ("confusion matrix of the trained ST-GCN", "evaluate", None),
        ("evaluate the exported ST-GCN on val_data.npy", "evaluate", None),
        ("after training ST-GCN, evaluate it", "evaluate", None),
        ("export pose classification to ONNX", "export", None),
        ("convert the ST-GCN model to onnx", "export", None),
        ("I need the trained ST-GCN as ONNX for DeepStream", "export", None),
        ("run inference with the pose classifier", "inference", None),
        ("predict the action of every skeleton sequence", "inference", None),
        ("classify skeleton sequences with the trained model", "inference", None),
        ("convert DeepStream BodyPose JSON", "dataset_convert", None),
        ("dataset_convert my bodypose json", "dataset_convert", None),
        # the other languages
        ("Trainiere einen Skelettklassifikator", "train", None),
        ("werte den Posenklassifikator auf den Testdaten aus", "evaluate", None),
        ("exportiere das trainierte ST-GCN nach ONNX", "export", None),
        ("entrena un clasificador de esqueletos, sin AutoML", "train", "off"),
        ("clasifica esqueletos con el modelo entrenado de ST-GCN", "inference", None),
        ("训练骨架动作识别", "train", None),
        ("訓練骨架動作識別", "train", None),
        ("用训练好的ST-GCN做推理", "inference", None),
    ],
)
def test_pose_classification_is_meant(skills, phrase, action, word):
    found = match.match(phrase, skills)
    assert (found.skill, found.action, found.automl_policy) == (POSE, action, word)
    assert found.sure
    assert found.candidates[0][0] == POSE


@pytest.mark.parametrize(
    "phrase",
    [
        "Run AutoML",
        "run a hyperparameter search with 12 trials",
        "tune hyperparameters",
        "start hyper-parameter optimisation",
        "which trial of my AutoML search is the best?",
    ],
)
def test_automl_itself_is_meant(skills, phrase):
    found = match.match(phrase, skills)
    assert (found.skill, found.action, found.automl_policy) == (AUTOML, None, "on")
    assert found.sure


@pytest.mark.parametrize(
    "phrase",
    [
        "estimate keypoints from this video",
        "extract the keypoints of a runner from a video",
        "Detect human keypoints in these images with YOLO-pose",
        "human pose estimation",
        "train a pose estimator",
        "6-DoF object pose estimation",
        "Train a 6-DoF object pose model for bin picking",
        "recover the camera pose",
        "RGB action recognition on Kinetics videos",
        "My joints hurt after exercise, what should I do?",
        "Gelenkschmerzen nach dem Training, was tun?",
        "joint venture classification of companies",
        "classify x-ray of knee joints",
        "recognize landmarks like the Eiffel tower",
        "SIFT keypoint matching between two images",
        "SIFT keypoint matching for object recognition",
        "train a keypoint matching network",
        "match ORB keypoints to recognise a place",
        "feature matching with learned keypoints",
        "train image registration from landmark keypoints",
        "point cloud registration with keypoints, learn it",
        "fingerprint recognition from minutiae keypoints",
        "face landmarks detection",
        "face recognition from landmarks",
        "recognize objects by their keypoints",
        "Fingerabdrücke klassifizieren anhand von Schlüsselpunkten",
        "训练 SIFT 关键点匹配",
        "指纹 识别 关键点",
        "predict joint failure in steel structures",
        "classify one still pose image",
        "Classify one still image of a yoga pose",
        "tune XGBoost",
        "tune the hyperparameters of XGBoost",
        "hyperparameter search for a random forest in scikit-learn",
        "fine-tune a language model",
        "train an image classifier on CIFAR-10",
        "train an object detector",
        "detect cars in lidar point clouds",
        "classify emails by sentiment",
        "train a graph neural network on molecules",
        "what is the weather in Munich tomorrow?",
        "refactor this Python function",
        "turn off AutoML",
        "no HPO please",
        "train",
        "export to onnx",
        "",
        "???",
        "x" * 500,
    ],
)
def test_all_else_is_refused_with_the_nearest(skills, phrase):
    found = match.match(phrase, skills)
    assert (found.skill, found.action, found.sure) == (None, None, False)
    assert {name for name, _ in found.candidates} >= {POSE, AUTOML}
    with pytest.raises(NoMatch) as caught:
        match.require(phrase, skills)
    assert caught.value.exit_code == 2
    assert "Nearest: " in str(caught.value)


def test_data_and_an_action_alone_are_a_guess(skills):
    found = match.require("train on my keypoints", skills)
    assert (found.skill, found.action, found.sure) == (POSE, "train", False)
    assert found.candidates[0] == (POSE, 0.5)


@pytest.mark.parametrize(
    ("phrase", "word"),
    [
        ("automl off", "off"),
        ("AutoML: off", "off"),
        ("automl_policy=off", "off"),
        ("AutoML disabled", "off"),
        ("skip hyperparameter tuning", "off"),
        ("no search", "off"),
        ("turn off autmol", "off"),
        ("usually with AutoML, this time without AutoML", "off"),
        ("not without AutoML", "on"),
        ("with AutoML", "on"),
        ("HPO", "on"),
        ("optimise hyperparameters", "on"),
        ("use AutoML, no questions", "on"),
        ("no GPU, use AutoML", "on"),
        ("with these hyperparameters: lr 0.1", None),
        ("train for 30 epochs", None),
        ("turn off the light", None),
        # the other languages
        ("ohne Hyperparametersuche", "off"),
        ("kein AutoML", "off"),
        ("schalte AutoML aus", "off"),
        ("verwende AutoML nicht", "off"),
        ("mit AutoML", "on"),
        ("optimiere die Hyperparameter", "on"),
        ("nur ein Training", "off"),
        ("aus OpenPose-Daten", None),
        ("sin búsqueda de hiperparámetros", "off"),
        ("desactiva AutoML", "off"),
        ("con AutoML", "on"),
        ("busca los mejores hiperparámetros", "on"),
        ("不要用AutoML", "off"),
        ("关闭自动调参", "off"),
        ("不调参", "off"),
        ("用关键点训练，开启AutoML", "on"),
        ("超参数优化", "on"),
        # paraphrases
        ("don't bother with tuning", "off"),
        ("train it just once, nothing searched", "off"),
        ("search for a good learning rate", "on"),
        ("fine-tune it", None),
        ("no fine-tuning", None),
        ("the Adam optimizer with learning rate 0.01", None),
        ("withuot atuoml", "off"),
    ],
)
def test_automl_word(phrase, word):
    assert match.automl_word(phrase) == word


def test_a_skill_that_says_nothing_on_matching_is_known_by_name_and_description():
    plain = SimpleNamespace(
        name="tao-train-rtdetr", description="Train RT-DETR, a detector of objects in pictures.", info={}, words={}
    )
    assert match.match("train rtdetr on traffic signs", [plain]) == (
        "tao-train-rtdetr",
        None,
        None,
        [("tao-train-rtdetr", 0.8)],
        True,
    )
    weak = match.match("train a detector of objects on pictures", [plain])
    assert (weak.skill, weak.sure) == ("tao-train-rtdetr", False)
    assert match.match("bake bread", [plain]).skill is None


def test_no_skills_at_all():
    assert match.match("train", []) == (None, None, None, [], False)
