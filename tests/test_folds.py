"""Cross-validation and shares of the training data: who is on which side, that no array is copied, and what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainer_cases import LABEL_MAP, sequences, status_lines, train_spec

from stgcn import arrays, config, errors, folds, people, train
from stgcn.consistency.data import of_division

CLASSES = len(LABEL_MAP)


def make(
    split: str, count: int, *, seed: int, path: str = "", names: list[str] | None = None, **shape: int
) -> arrays.SkeletonSet:
    data, labels = sequences(count, seed=seed, **shape)
    return arrays.SkeletonSet(split, path or f"/{split}.npy", data, names or [f"{split}{i}" for i in range(count)], labels)


def settings(**dataset: Any) -> config.Dataset:
    return config.Dataset(num_classes=CLASSES, label_map=dict(LABEL_MAP), **dataset)


def subject_names(count: int, subjects: int, split: str = "take") -> list[str]:
    """Subjects of uneven numbers of sequences."""
    order = np.random.default_rng(0).integers(0, subjects, count)
    return [f"{split}{i}_p{order[i]:02d}" for i in range(count)]


# --- the array that copies nothing ---


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(5),
        slice(2, 7),
        slice(None),
        [0, 9, 3],
        np.array([8, 1]),
        (slice(None), slice(None), 4),
        (slice(1, 6), 0, slice(2, 5)),
        (2, slice(None), 0),
        (slice(0, 0),),
    ],
    ids=str,
)
@pytest.mark.parametrize("shapes", [((6, 12, 1), (5, 12, 1)), ((6, 12, 1), (5, 9, 2))], ids=["alike", "padded"])
def test_a_pool_is_indexed_like_an_array(key: Any, shapes: Any) -> None:
    parts = [sequences(n, seed=n, frames=t, persons=m)[0] for n, t, m in shapes]
    whole = np.zeros((11, 3, 12, 17, max(m for *_, m in shapes)), np.float32)
    start = 0
    for part in parts:
        whole[start : start + len(part), :, : part.shape[2], :, : part.shape[4]] = part
        start += len(part)
    rows = np.array([10, 0, 4, 6, 1, 2, 9, 3, 5, 8, 7])
    pool = folds.Pool(parts, rows)
    assert (pool.shape, pool.nbytes, pool.dtype, len(pool)) == (whole.shape, whole.nbytes, whole.dtype, 11)
    np.testing.assert_array_equal(pool[key], whole[rows][key])
    np.testing.assert_array_equal(np.asarray(pool), whole[rows])


def test_mapped_files_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    """A file of many gigabytes (sparse) is divided at once."""
    mapped = []
    for name in ("train", "val"):
        data = np.lib.format.open_memmap(tmp_path / f"{name}.npy", mode="w+", dtype=np.float32, shape=(4000, 3, 3000, 50, 2))
        data[17, :, :5] = 1
        mapped.append(data)
    labels = np.arange(4000) % CLASSES
    given = [
        arrays.SkeletonSet(s, f"/{s}.npy", d, [str(i) for i in range(4000)], labels) for s, d in zip("ab", mapped, strict=True)
    ]
    part, held = folds.divide(given[0], given[1], settings(folds=5, train_share=0.5), seed=1)
    assert part.data.nbytes > 5e9
    assert len(part.data) + len(held.data) < 8000
    assert held.data[0].shape == (3, 3000, 50, 2)


# --- parts ---


def test_the_parts_are_disjoint_whole_and_even() -> None:
    """Every sequence validates in one part, and is trained on in all others; classes are spread evenly."""
    train_set, val_set = make("train", 40, seed=1), make("val", 13, seed=2)
    seen: list[str] = []
    for fold in range(5):
        part, held = folds.divide(train_set, val_set, settings(folds=5, fold=fold), seed=3)
        assert sorted(part.names + held.names) == sorted(train_set.names + val_set.names)
        assert not set(part.names) & set(held.names)
        assert len(held.names) in (10, 11)
        assert np.bincount(held.labels).min() >= 3
        seen += held.names
        for own in (part, held):  # data and labels went with the names
            for i in (0, len(own.names) - 1):
                origin = train_set if own.names[i].startswith("train") else val_set
                at = origin.names.index(own.names[i])
                np.testing.assert_array_equal(own.data[i], origin.data[at])
                assert own.labels[i] == origin.labels[at]
    assert sorted(seen) == sorted(train_set.names + val_set.names)


def test_the_seed_decides_and_a_drawn_one_does_not() -> None:
    pair = make("train", 30, seed=1), make("val", 10, seed=2)

    def held(seed: int) -> list[str]:
        return folds.divide(*pair, settings(folds=4, fold=1), seed=seed)[1].names

    assert held(1) == held(1)
    assert held(1) != held(2)
    assert held(-1) == held(0), "parts of several runs with train.seed=-1 belong together"


@pytest.mark.parametrize("seed", range(5))
def test_no_subject_is_on_both_sides(seed: int) -> None:
    names = subject_names(60, 7)
    one, other = make("train", 45, seed=1, names=names[:45]), make("val", 15, seed=2, names=names[45:])
    sizes = []
    for fold in range(3):
        part, held = folds.divide(one, other, settings(folds=3, fold=fold), seed=seed)
        sides = [{name[-3:] for name in own.names} for own in (part, held)]
        assert not sides[0] & sides[1]
        assert sides[1]
        assert held.division["subjects"] == sorted(name[1:].lstrip("0") or "0" for name in sides[1])
        assert any("by subject, told by names" in note for note in part.notes)
        sizes.append(len(held.names))
    assert sum(sizes) == 60
    assert max(sizes) <= 2 * min(sizes)


def test_class_divides_without_regard_to_subjects() -> None:
    names = subject_names(40, 3)
    one, other = make("train", 30, seed=1, names=names[:30]), make("val", 10, seed=2, names=names[30:])
    part, held = folds.divide(one, other, settings(folds=8, fold_by="class"), seed=1)
    assert {name[-3:] for name in part.names} & {name[-3:] for name in held.names}
    with pytest.raises(errors.DataError, match=r"3 subjects.*2 to 3.*fold_by=class"):
        folds.divide(one, other, settings(folds=8), seed=1)


def test_a_table_of_subjects_goes_before_names(tmp_path: Path) -> None:
    count = 24
    one = make("train", count, seed=1, path=str(tmp_path / "train_data.npy"))
    other = make("val", 8, seed=2, path=str(tmp_path / "val_data.npy"))
    rows = [
        f"{name},{'ada' if i % 3 == 0 else 'bob' if i % 3 == 1 else 'cy'}" for i, name in enumerate(one.names + other.names)
    ]
    (tmp_path / people.TABLES[0]).write_text("sample,subject\n" + "\n".join(rows))
    _, held = folds.divide(one, other, settings(folds=3, fold=2), seed=1)
    assert held.division["by"] == f"by subject, told by {people.BY_TABLE}"
    assert len(held.division["subjects"]) == 1


def test_windows_of_one_recording_stand_on_one_side(tmp_path: Path) -> None:
    names = [f"clip{i // 6:02d}_person{i % 6 // 3}_w{i % 3:06d}" for i in range(48)]
    folder = str(tmp_path / "train_data.npy")
    (tmp_path / folds.CARD).write_text("{}")  # the importer's; its person0 and person1 are no subjects
    one, other = (
        make("train", 36, seed=1, names=names[:36], path=folder),
        make("val", 12, seed=2, names=names[36:], path=folder),
    )
    part, held = folds.divide(one, other, settings(folds=4), seed=1)
    assert not {name[:6] for name in part.names} & {name[:6] for name in held.names}
    assert len({name[:6] for name in held.names}) == 2
    assert held.division["by"].startswith("by recording")


def test_unknown_subjects_and_classes_too_small_to_divide_are_said() -> None:
    names = [f"a{i}_p{i % 4}" for i in range(38)] + ["odd", "odder"]
    one, other = make("train", 30, seed=1, names=names[:30]), make("val", 10, seed=2, names=names[30:])
    labels = np.zeros(30, np.int64)
    labels[0] = 1
    one = arrays.SkeletonSet(one.split, one.path, one.data, one.names, labels)
    other = arrays.SkeletonSet(other.split, other.path, other.data, other.names, np.zeros(10, np.int64))
    part, held = folds.divide(one, other, settings(folds=2), seed=1)
    said = " ".join(part.notes)
    assert "2 sequences tell no subject" in said
    assert ("no sequence to validate with" in said) != ("no sequence to train on" in said)
    assert "wave" in said
    assert held.notes == []


def test_shapes_that_differ_are_padded_and_said() -> None:
    one, other = make("train", 9, seed=1, frames=12), make("val", 6, seed=2, frames=9, persons=2)
    part, held = folds.divide(one, other, settings(folds=3), seed=1)
    assert part.data.shape[1:] == held.data.shape[1:] == (3, 12, 17, 2)
    said = " ".join(part.notes)
    assert "train has 12 frames and val 9" in said
    assert "train has 1 persons and val 2" in said


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ({"folds": 1}, "dataset.folds is 1"),
        ({"folds": 3, "fold": 3}, "the last is 2"),
        ({"fold": 2}, "dataset.fold has no effect"),
        ({"fold_by": "class"}, "dataset.fold_by has no effect"),
        ({"folds": 3, "fold": 2}, None),
        ({}, None),
    ],
)
def test_settings_that_mean_nothing(dataset: dict[str, Any], says: str | None) -> None:
    problems = [str(found) for found in of_division(settings(**dataset))]
    assert (problems == []) if says is None else (says in problems[0])


def test_more_parts_than_sequences() -> None:
    with pytest.raises(errors.DataError, match=r"folds is 30.*have 15 sequences"):
        folds.divide(make("train", 9, seed=1), make("val", 6, seed=2), settings(folds=30), seed=1)


# --- shares ---


def test_shares_are_stratified_nested_and_leave_validation_alone() -> None:
    one, other = make("train", 42, seed=1), make("val", 9, seed=2)
    taken = {share: folds.divide(one, other, settings(train_share=share), seed=5) for share in (0.001, 0.25, 0.5, 1.0)}
    names = {share: set(pair[0].names) for share, pair in taken.items()}
    assert names[0.001] < names[0.25] < names[0.5] < names[1.0] == set(one.names)
    assert [len(n) for n in names.values()] == [3, 12, 21, 42], "14 of each class: at least one, 3.5 is rounded up"
    for part, held in taken.values():
        assert len(set(np.bincount(part.labels).tolist())) == 1
        assert held is other
        for i in (0, -1):
            np.testing.assert_array_equal(part.data[i], one.data[one.names.index(part.names[i])])
    assert taken[1.0][0] is one
    assert taken[0.5][0].names != folds.divide(one, other, settings(train_share=0.5), seed=6)[0].names


def test_a_share_of_a_part() -> None:
    one, other = make("train", 30, seed=1), make("val", 12, seed=2)
    whole, held = folds.divide(one, other, settings(folds=3), seed=1)
    half, same = folds.divide(one, other, settings(folds=3, train_share=0.5), seed=1)
    assert set(half.names) < set(whole.names)
    assert same.names == held.names
    assert half.division["train_share"] == 0.5
    assert half.division["folds"] == 3
    assert len(half.notes) == 2


# --- in a training ---


def test_a_training_of_a_part(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1)
    spec["dataset"] |= {"folds": 3, "fold": 1, "train_share": 0.5}
    result = train.run(spec)
    assert (result["metrics"]["train_sequences"], result["metrics"]["val_sequences"]) == (5, 4)
    facts = json.loads((tmp_path / "train" / "data_facts.json").read_text())
    paths = [spec["dataset"][f"{split}_dataset"]["data_path"] for split in ("train", "val")]
    for split in ("train", "val"):
        assert facts[split]["path"] == " + ".join(paths)
        assert [file["path"] for file in facts[split]["files"]] == paths
        assert facts[split]["sha256"] is None
        assert facts[split]["division"]["fold"] == 1
    assert facts["train"]["division"]["train_share"] == 0.5
    said = [line["message"] for line in status_lines(tmp_path / "train")]
    assert any("cross-validation, part 2 of 3 (dataset.fold=1)" in line for line in said)
    assert any("train_share 0.5" in line for line in said)


def test_another_division_cannot_resume(tmp_path: Path) -> None:
    """It would be trained on the very sequences that chose its best epoch."""
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1)
    spec["dataset"] |= {"folds": 3}
    latest = train.run(spec)["artifacts"]["latest"]
    spec["train"] |= {"num_epochs": 2, "resume_training_checkpoint_path": latest, "seed": 5}
    spec["dataset"]["fold"] = 2
    with pytest.raises(errors.CheckpointError) as caught:
        train.run(spec)
    said = "\n".join(caught.value.problems)
    assert "dataset.fold was 0 and is 2" in said
    assert "train.seed was 1234 and is 5" in said


def test_persons_may_differ_where_sets_are_pooled(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1)
    data = np.load(spec["dataset"]["val_dataset"]["data_path"])
    np.save(spec["dataset"]["val_dataset"]["data_path"], np.concatenate([data, data * 0], axis=4))
    with pytest.raises(errors.DataError, match="M=1 persons"):
        train.run(spec)
    spec["dataset"]["folds"] = 2
    assert train.run(spec)["metrics"]["epochs"] == 1
