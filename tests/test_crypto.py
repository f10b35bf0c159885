"""Encrypted checkpoints: the container, what each kind of harm is called, and every reader and writer of one."""

from __future__ import annotations

import io
import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.plugins.io import TorchCheckpointIO
from trainer_cases import SMALL, status_lines, train_spec, write_checkpoint

from runner import keys, tao_cli
from stgcn import config, crypto, evaluate, export, inference, train
from stgcn.callbacks import HELD, HoldingIO
from stgcn.errors import CheckpointError, ResourceError, SpecError, TrainerError
from stgcn.predict import load

KEY = "correct-horse-battery"
CHEAP = crypto.Cost(4, 8, 1)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "COST", CHEAP)


def sealed(path: Path, content: bytes = b"weights" * 999) -> Path:
    path.write_bytes(crypto.seal(content, KEY))
    return path


# -- the container -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, crypto.CHUNK - 1, crypto.CHUNK, crypto.CHUNK + 1, 3 * crypto.CHUNK])
def test_what_goes_in_comes_out(tmp_path: Path, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    path = sealed(tmp_path / "file", content)
    assert crypto.is_sealed(path)
    assert crypto.unseal(path, KEY) == content
    assert path.stat().st_size == crypto.HEADER + size + crypto.TAG * max(1, -(-size // crypto.CHUNK))
    assert size < 16 or content[:16] not in path.read_bytes()


def test_the_cost_is_what_is_recommended() -> None:
    assert tuple(crypto.Cost(17, 8, 1)) == (17, 8, 1)
    assert crypto.Cost(17, 8, 1).memory == 128 << 20 < crypto.MOST_MEMORY


def test_the_same_content_never_looks_the_same() -> None:
    first, second = crypto.seal(b"x" * 64, KEY), crypto.seal(b"x" * 64, KEY)
    assert first[crypto.HEADER :] != second[crypto.HEADER :]
    crypto._salt_of.cache_clear()
    assert crypto.seal(b"x", KEY)[12:28] != first[12:28]  # another process has another salt


def test_a_key_is_the_same_however_its_letters_are_composed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(crypto.seal(b"content", "Schlüsselwort"))
    assert crypto.unseal(path, "Schlüsselwort") == b"content"


def spoilt(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "cut":
        content = content[:-10]
    elif kind == "cut in the header":
        content = content[:30]
    elif kind == "longer":
        content += b"more"
    elif kind == "content":
        content[crypto.HEADER + 5] ^= 1
    elif kind == "tag":
        content[-1] ^= 1
    elif kind == "salt":
        content[14] ^= 1
    elif kind == "version":
        content[8] = 9
    elif kind == "swapped":
        size = crypto.CHUNK + crypto.TAG
        first, second = content[crypto.HEADER :][:size], content[crypto.HEADER + size :][:size]
        content[crypto.HEADER :] = second + first
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("cut", "is truncated: it has"),
        ("cut in the header", "is truncated: 30 bytes are left of its header"),
        ("longer", "was changed: 4 bytes stand after its end"),
        ("content", "was damaged or changed after it was encrypted"),
        ("tag", "was damaged or changed after it was encrypted"),
        ("salt", "its header does not match its digest"),
        ("version", "version 9 of the container"),
        ("swapped", "was damaged or changed after it was encrypted"),
    ],
)
def test_harm_is_told_apart(tmp_path: Path, kind: str, says: str) -> None:
    path = sealed(tmp_path / "model.pth", b"a" * (2 * crypto.CHUNK) if kind == "swapped" else b"weights")
    spoilt(path, kind)
    with pytest.raises(CheckpointError, match=says):
        crypto.unseal(path, KEY)


def test_a_header_whose_digest_was_made_to_fit_is_found_out(tmp_path: Path) -> None:
    """Every byte of the header is in the tags: whoever changes one and its digest gets a wrong key or a wrong content."""
    path = sealed(tmp_path / "model.pth")
    whole = path.read_bytes()
    header = crypto._header(path, whole)
    others = [
        header._replace(own_salt=bytes(16)),
        header._replace(salt=bytes(16)),
        header._replace(check=bytes(16)),
        header._replace(cost=crypto.Cost(5, 8, 1)),
    ]
    for other in others:
        path.write_bytes(other.packed() + whole[crypto.HEADER :])
        with pytest.raises(CheckpointError, match=r"another key|was damaged or changed"):
            crypto.unseal(path, KEY)


@pytest.mark.parametrize("key", ["wrong-horse-battery", KEY + "\n", KEY.upper()])
def test_the_wrong_key_is_told_from_damage(tmp_path: Path, key: str) -> None:
    with pytest.raises(CheckpointError, match="is encrypted with another key than the one given") as error:
        crypto.unseal(sealed(tmp_path / "model.pth"), key)
    assert KEY not in str(error.value)
    assert key not in str(error.value)


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_one_message_says_how_to_give_it(tmp_path: Path, key: str | None) -> None:
    with pytest.raises(CheckpointError) as error:
        crypto.unseal(sealed(tmp_path / "model.pth"), key)
    assert error.value.problems == [f"{tmp_path / 'model.pth'} is encrypted, and no key is given: {crypto.HOW}"]


@pytest.mark.parametrize("cost", [(40, 8, 1), (20, 8, 1), (17, 255, 1), (17, 8, 255), (0, 8, 1), (10, 0, 1), (10, 8, 0)])
def test_a_hostile_header_costs_neither_memory_nor_time(tmp_path: Path, cost: tuple[int, int, int]) -> None:
    path = sealed(tmp_path / "model.pth")
    header = crypto._header(path, path.read_bytes())._replace(cost=crypto.Cost(*cost))
    path.write_bytes(header.packed() + bytes(64))
    with pytest.raises(CheckpointError, match="is refused: to check a key it asks for scrypt"):
        crypto.unseal(path, KEY)


def test_a_size_out_of_this_world_is_no_allocation(tmp_path: Path) -> None:
    path = sealed(tmp_path / "model.pth")
    path.write_bytes(crypto._header(path, path.read_bytes())._replace(size=2**63).packed() + bytes(64))
    with pytest.raises(CheckpointError, match="is truncated"):
        crypto.unseal(path, KEY)


@given(st.binary(max_size=200))
def test_anything_after_the_magic_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(crypto.MAGIC + rest)
    with pytest.raises(CheckpointError):
        crypto.unseal(path, KEY)


def test_both_sides_of_the_seam_mean_the_same() -> None:
    assert keys.MAGIC == crypto.MAGIC
    assert keys.HOW == crypto.HOW
    assert keys.VARIABLE in crypto.HOW
    assert keys.OPTION in crypto.HOW


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sealed(tmp_path / "model.pth")
    crypto._derived.cache_clear()
    monkeypatch.setattr(crypto, "installed", lambda: False)
    with pytest.raises(ResourceError, match=r"pip install 'tao-skill-bank\[crypto\]'"):
        crypto.unseal(path, KEY)
    with pytest.raises(ResourceError, match="cryptography is not installed"):
        crypto.seal(b"x", KEY)
    spec = train_spec(tmp_path / "data", tmp_path / "results", num_epochs=1) | {"encryption_key": KEY}
    with pytest.raises(SpecError, match="cryptography is not installed"):
        train.run(spec)
    assert not [*tmp_path.rglob("*.pth")][1:]


def test_a_key_that_anybody_guesses_is_refused(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path / "results", num_epochs=1) | {"encryption_key": "kEy1234"}
    with pytest.raises(SpecError, match="encryption_key has 7 characters; allowed: at least 8") as error:
        train.run(spec)
    assert "kEy1234" not in str(error.value)


def test_settings_that_are_printed_do_not_show_the_key() -> None:
    shown = repr(config.from_dict(config.TrainSpec, {"encryption_key": KEY}))
    assert KEY not in shown
    assert "results_dir" in shown


# -- the road of a checkpoint --------------------------------------------------------------------------------------


CALLS: list[str] = []  # addresses beyond this machine that were looked up or spoken to while WATCHED
WATCHED: list[bool] = []


def watch(event: str, arguments: tuple) -> None:
    """An audit hook: it stays for the life of the process, and listens while it is asked to."""
    if WATCHED and event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        target = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        if isinstance(target, tuple | str) and not str(target[0] if isinstance(target, tuple) else target).startswith("127."):
            CALLS.append(f"{event} {target!r}")


sys.addaudithook(watch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """A training with a key: the spec and what came out."""
    folder = tmp_path_factory.mktemp("keyed")
    spec = train_spec(folder / "data", folder / "first", num_epochs=1) | {"encryption_key": KEY}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "COST", CHEAP)
        WATCHED.append(True)
        result = train.run(spec)
        WATCHED.clear()
        return spec, result


def model_of(trained: tuple[dict, dict]) -> str:
    return trained[1]["artifacts"]["checkpoint"]


def downstream(trained: tuple[dict, dict], name: str, folder: Path, **own: object) -> dict:
    spec = trained[0]
    test = spec["dataset"]["val_dataset"]
    settings = {"checkpoint": model_of(trained), **own} | ({} if name == "export" else {"test_dataset": test})
    return {"results_dir": str(folder), "encryption_key": KEY, "model": spec["model"], name: settings}


def test_a_training_calls_nobody(trained: tuple[dict, dict]) -> None:
    assert trained[1]["checkpoints"]
    assert CALLS == []
    WATCHED.append(True)
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("host.invalid", 80), 1)
    WATCHED.clear()
    assert any("host.invalid" in call for call in CALLS)  # it would have been noticed


def test_a_training_writes_nothing_in_clear(trained: tuple[dict, dict]) -> None:
    spec, result = trained
    folder = Path(spec["results_dir"]) / "train"
    assert all(crypto.is_sealed(path) for path in folder.glob("*.pth"))
    assert {Path(one["path"]).parent for one in result["checkpoints"]} == {folder}
    assert yaml.safe_load((folder / "experiment.yaml").read_text())["encryption_key"] == "***"
    assert any("checkpoints are encrypted with it" in line["message"] for line in status_lines(folder))
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert KEY.encode() not in path.read_bytes(), path
    content = torch.load(io.BytesIO(crypto.unseal(model_of(trained), KEY)), weights_only=True)
    assert KEY not in str({name: value for name, value in content.items() if name != "state_dict"})


def test_resume_goes_on_encrypted(trained: tuple[dict, dict], tmp_path: Path) -> None:
    spec = {**trained[0], "results_dir": str(tmp_path)}
    spec["train"] = {**spec["train"], "num_epochs": 2, "resume_training_checkpoint_path": model_of(trained)}
    result = train.run(spec)
    assert result["metrics"]["epochs"] == 2
    assert crypto.is_sealed(result["artifacts"]["latest"])


def test_fine_tuning_and_a_change_of_mind(trained: tuple[dict, dict], tmp_path: Path) -> None:
    """From a clear checkpoint to encrypted ones; the clear one needs no key and minds none."""
    clear = write_checkpoint(tmp_path / "clear.pth", small=True)
    spec = {**trained[0], "results_dir": str(tmp_path / "tuned")}
    spec["model"] = {**spec["model"], "pretrained_model_path": str(clear)}
    result = train.run(spec)
    assert result["metrics"]["pretrained"]["loaded"]
    assert crypto.is_sealed(result["artifacts"]["checkpoint"])
    load(clear, config.Model(graph_layout="coco", **SMALL), config.Dataset(num_classes=3), key="any key at all")


def test_evaluate_and_inference_read_it(trained: tuple[dict, dict], tmp_path: Path) -> None:
    assert evaluate.run(downstream(trained, "evaluate", tmp_path))["metrics"]["sequences"] == 3
    assert inference.run(downstream(trained, "inference", tmp_path))["metrics"]["sequences"] == 3


def test_export_says_that_the_onnx_file_is_clear(
    trained: tuple[dict, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reached(Exception):
        """The checkpoint was read, and the file would be written now."""

    def write_onnx(*_: object) -> None:
        raise Reached

    monkeypatch.setattr(export, "write_onnx", write_onnx)
    with pytest.raises(Reached):
        export.run(downstream(trained, "export", tmp_path))
    assert any("is encrypted, the ONNX file is not" in line.get("message", "") for line in status_lines(tmp_path / "export"))


@pytest.mark.slow
def test_an_exported_file_needs_no_key(trained: tuple[dict, dict], tmp_path: Path) -> None:
    onnx = export.run(downstream(trained, "export", tmp_path))["artifacts"]["onnx"]
    assert not crypto.is_sealed(onnx)
    load(onnx, config.Model(graph_layout="coco"), config.Dataset(num_classes=3))


@pytest.mark.parametrize("key", [None, "not-the-right-one"])
@pytest.mark.parametrize("name", ["evaluate", "inference", "export", "train", "resume"])
def test_every_reader_refuses_in_one_message(trained: tuple[dict, dict], tmp_path: Path, name: str, key: str | None) -> None:
    spec = downstream(trained, name, tmp_path) if name in ("evaluate", "inference", "export") else dict(trained[0])
    if name == "train":
        spec["model"] = {**spec["model"], "pretrained_model_path": model_of(trained)}
    if name == "resume":
        spec["train"] = {**spec["train"], "num_epochs": 2, "resume_training_checkpoint_path": model_of(trained)}
    spec |= {"encryption_key": key, "results_dir": str(tmp_path)}
    action = {"evaluate": evaluate, "inference": inference, "export": export}.get(name, train)
    with pytest.raises(TrainerError) as error:
        action.run(spec)
    assert len(error.value.problems) == 1
    assert ("no key is given" if key is None else "another key") in str(error.value)
    assert crypto.HOW in str(error.value)
    assert not [*tmp_path.rglob("*.pth"), *tmp_path.rglob("*.onnx")]


def test_pose_classification_takes_the_key_as_skillbank_does(
    trained: tuple[dict, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, file = tmp_path / "spec.yaml", tmp_path / "key"
    told = downstream(trained, "evaluate", tmp_path)
    del told["encryption_key"]
    spec.write_text(yaml.safe_dump(told))
    file.write_text(KEY)
    file.chmod(0o600)

    def run(*words: str) -> tuple[int, str]:
        code = tao_cli.main(["evaluate", "-e", str(spec), *words])
        captured = capsys.readouterr()
        assert KEY not in captured.out + captured.err
        return code, captured.err

    monkeypatch.delenv(keys.VARIABLE, raising=False)
    code, said = run()
    assert (code, said.count(keys.HOW)) == (5, 1)
    assert run("--encryption-key-file", str(file))[0] == 0
    code, said = run(f"encryption_key={KEY}")
    assert code == 0
    assert "warning: every user of this machine can read a key on the command line" in said
    monkeypatch.setenv(keys.VARIABLE, KEY)
    assert run()[0] == 0
    monkeypatch.setenv(keys.VARIABLE, "not-the-right-one")
    code, said = run()
    assert (code, "is encrypted with another key" in said) == (5, True)


def test_what_lightning_saves_by_itself_is_encrypted_too(tmp_path: Path) -> None:
    keyed, plain = HoldingIO(KEY), HoldingIO()
    keyed.save_checkpoint({"state": torch.ones(3)}, tmp_path / "hpc.ckpt")
    assert crypto.is_sealed(tmp_path / "hpc.ckpt")
    assert keyed.load_checkpoint(tmp_path / "hpc.ckpt")["state"].tolist() == [1, 1, 1]
    plain.save_checkpoint({"state": torch.ones(3)}, tmp_path / "plain.ckpt")
    assert TorchCheckpointIO().load_checkpoint(tmp_path / "plain.ckpt", weights_only=True)["state"].tolist() == [1, 1, 1]
    assert keyed.load_checkpoint(tmp_path / "plain.ckpt")["state"].tolist() == [1, 1, 1]
    keyed.save_checkpoint({"state": 1}, HELD)
    assert keyed.held
    assert not Path(HELD).exists()


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    """The offsets docs/security.md gives, so that another program can read a file of ours."""
    content = sealed(tmp_path / "model.pth", b"abc").read_bytes()
    magic, version, log2_n, r, p = struct.unpack_from(">8sBBBB", content)
    assert (magic, version, log2_n, r, p) == (b"\x93SKBKEY\n", 1, *CHEAP)
    assert struct.unpack_from(">Q", content, 60) == (3,)
    assert len(content) == 76 + 3 + 16


@pytest.mark.slow
def test_folds_and_a_stream_with_a_key(tmp_path: Path, skillbank: Any, pose_classification: Any) -> None:
    """A cross-validation leaves only encrypted models, and no trace of the key; a stream reads one with it and not without."""
    spec = train_spec(tmp_path / "data", tmp_path / "none")
    (tmp_path / "data" / "label_map.json").write_text(json.dumps(spec["dataset"]["label_map"]))
    small = ("model.graph_layout=coco", "model.width=8", "model.stages=[1]", "num_epochs=1", "dataset.num_workers=0")
    words = [word for one in small for word in ("--set", one)]
    words += ["--dataset", str(tmp_path / "data"), "--automl", "off", "--recipe", "none", "--folds", "2", "--job-id", "folds"]
    key = {"SKILLBANK_ENCRYPTION_KEY": KEY}
    done = skillbank("run", "tao-train-pose-classification", "train", *words, "--json", **key)
    assert done.code == 0, done.err
    models = [path for path in (tmp_path / "workspace").rglob("*.pth") if not path.is_symlink()]
    assert models
    assert all(crypto.is_sealed(path) for path in models)
    files = [path for path in (tmp_path / "workspace").rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    stream = ("inference", "--stream", "--checkpoint", models[0], "--window", "12")
    assert pose_classification(*stream, **key).code == 0
    refused = pose_classification(*stream)
    assert refused.code == 5
    assert "is encrypted, and no key is given" in refused.err
