from __future__ import annotations

import pytest

from runner import match_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Train the ST-GCN, please!", ["train", "st", "gcn", "."]),
        ("train_data.npy and Auto ML", ["train", "data", "npy", "and", "automl"]),
        ("Hyper-Parameter", ["hyperparameter"]),
        ("hiper-parámetros", ["hiperparametros"]),
        ("Größe der Übung", ["grosse", "ubung"]),
        ("¿Qué precisión?", ["que", "precision"]),
        ("frame's don't", ["frames", "dont"]),
        ("不要用AutoML，训练", ["不要", "用", "automl", ".", "训", "练"]),
        ("訓練關鍵點", ["训", "练", "关", "键", "点"]),
        ("ＡＢＣ", ["abc"]),
        ("", []),
    ],
)
def test_words(text, words):
    assert match_text.words(text) == words


@pytest.mark.parametrize(
    ("text", "pattern", "places"),
    [
        ("train the pose classifier", "pose classifier", [(1, 3)]),
        ("classifier of poses", "pose classifier", []),
        ("pose and hand classifier", "pose .. classifier", [(0, 4)]),
        ("pose v w x y classifier", "pose .. classifier", []),
        ("pose v w x y classifier", "pose ... classifier", [(0, 6)]),
        ("a pose. Another classifier", "pose .. classifier", []),
        ("skeleton classifier", "pose|skeleton classifier|net", [(0, 2)]),
        ("stgcn", "ST-GCN", [(0, 1)]),
        ("key points", "keypoint", [(0, 2)]),
        ("Skelettsequenzen", "skelett*", [(0, 1)]),
        ("Bewegungserkennung", "*erkennung", [(0, 1)]),
        ("对骨架分类", "骨架", [(1, 3)]),
        ("关掉", "关键点", []),
        ("姿势进行分类", "姿势|骨架 .. 分类|识别", [(0, 6)]),
        ("训练", "训练|学习", [(0, 2)]),
        ("anything", "!?", []),
    ],
)
def test_patterns(text, pattern, places):
    assert match_text.find(match_text.words(text), pattern) == places


@pytest.mark.parametrize(
    ("word", "mended"),
    [
        ("skelton", "skeleton"),
        ("keypionts", "keypoint"),
        ("evlauate", "evaluate"),
        ("vealuate", "evaluate"),
        ("clasifcation", "classification"),
        ("classifier", "classifier"),  # known itself, so no error of classify
        ("esqueltos", "esquelet"),
        ("withuot", "without"),
        ("expose", "expose"),
        ("poze", "poze"),  # too short to be sure
        ("weather", "weather"),
    ],
)
def test_typing_errors(word, mended):
    patterns = ["skeleton", "keypoint", "evaluate", "classification", "classify", "classifier", "esquelet*", "pose"]
    assert match_text.corrected([word], patterns) == [mended]


def test_of_two_corrections_the_nearer_one_is_taken():
    assert match_text.corrected(["recognitio"], ["recognition", "recognizing"]) == ["recognition"]


@pytest.mark.parametrize(("a", "b", "apart"), [("", "abc", 3), ("abc", "acb", 1), ("kitten", "sitting", 3), ("a", "a", 0)])
def test_distance(a, b, apart):
    assert match_text.distance(a, b) == match_text.distance(b, a) == apart
