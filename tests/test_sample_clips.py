from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from runner import tao_cli
from stgcn import sample_clips
from stgcn.errors import RefusedError, SpecError
from stgcn.graph import LAYOUTS

COCO = LAYOUTS["coco"].joints


def make(folder: Path, **settings: int) -> dict:
    return sample_clips.run({"out": str(folder), "per_class": 3, "frames": 20, "seed": 5, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "clips"
    assert make(folder)["metrics"] == {"recordings": 18, "subjects": 3}
    return folder


def test_a_table_holds_pixels_and_scores_of_the_17_joints(clips: Path) -> None:
    with open(clips / "walking" / "walking_001.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert 12 <= len(rows) <= 20
    assert [row["frame"] for row in rows] == [str(i) for i in range(len(rows))]
    assert {row["subject"] for row in rows} == {"s02"}
    assert list(rows[0])[2:] == [f"{joint}_{axis}" for joint in COCO for axis in ("x", "y", "score")]
    values = np.array([[float(value) for value in list(row.values())[2:]] for row in rows]).reshape(-1, 17, 3)
    seen = values[..., 2] > 0
    assert 0.8 < seen.mean() <= 1
    assert (values[~seen] == 0).all()
    assert (values[seen] > (0, -200, 0.59)).all()
    assert (values[seen] < (1920, 1300, 1.01)).all()
    assert values[0, COCO.index("nose"), 1] < values[0, COCO.index("left_ankle"), 1]  # y grows downward


def test_the_stream_does_what_its_truth_says(clips: Path) -> None:
    lines = [json.loads(line) for line in (clips / "stream.jsonl").read_text("utf-8").splitlines()]
    assert [line["frame"] for line in lines] == list(range(60))
    assert {line["track"] for line in lines} == {1}
    assert np.array(lines[0]["joints"]).shape == (17, 3)
    truth = (clips / "stream_truth.csv").read_text("utf-8").split()
    assert truth == ["first_frame,label", "0,walking", "20,jumping", "40,sitting_down"]


def test_it_says_that_nobody_was_recorded_and_repeats_itself(clips: Path, tmp_path: Path) -> None:
    assert "NOT recorded from people" in (clips / "README.txt").read_text("utf-8")
    make(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(clips)
    make(tmp_path / "other", seed=6)
    assert contents(tmp_path / "other") != contents(clips)


def test_fewer_recordings_leave_none_of_an_earlier_call(tmp_path: Path) -> None:
    make(tmp_path, per_class=3)
    (tmp_path / "walking" / "mine.csv").write_text("kept", encoding="utf-8")
    make(tmp_path, per_class=1)
    assert sorted(path.name for path in (tmp_path / "walking").iterdir()) == ["mine.csv", "walking_000.csv"]


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "walking").mkdir()
    (tmp_path / "walking" / "walking_000.csv").write_text("real", encoding="utf-8")
    with pytest.raises(RefusedError, match="--out"):
        make(tmp_path)
    assert contents(tmp_path) == {"walking/walking_000.csv": b"real"}


def test_numbers_that_make_no_sense_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        make(tmp_path / "none", per_class=0, frames=3, seed=-1)
    assert all(name in str(caught.value) for name in ("--per-class is 0", "--frames is 3", "--seed is -1"))
    assert not (tmp_path / "none").exists()


def test_the_command_line_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sample_data", "--keypoints", "--out", str(tmp_path / "clips"), "--per-class", "1", "--frames", "12"]
    assert tao_cli.main(words) == 0
    assert "made up, not recorded" in capsys.readouterr().out
    assert len(list((tmp_path / "clips").glob("*/*.csv"))) == 6
