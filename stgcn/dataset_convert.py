"""The action dataset_convert: DeepStream BodyPose JSON into one .npy of windows per object; all else goes to the importer."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stgcn import config, files, status
from stgcn.bodypose import MOST_PROBLEMS, Track, read_tracks
from stgcn.errors import DataError, SpecError
from stgcn.formats import table
from stgcn.importer import pipeline
from stgcn.windows import window_starts

BLOCK_BYTES = 16 * 2**20  # windows written at once


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Convert ``dataset_convert.data`` and say what came out.

    Every object of a BodyPose file with at least ``sequence_length_min`` frames becomes ``object_<id>.npy``, float32
    (W, C, T, V, 1) with T = ``sequence_length_max``; ``stream_<s>_object_<id>.npy`` when the file holds several video streams.
    Files and folders of other formats become train, val and test sets, see ``stgcn.importer``.

    Raises:
        SpecError: lengths that contradict each other, no input or no results folder.
        DataError: the input is missing, broken, or holds no object long enough; every bad record is named.
        ResourceError: the results cannot be written.
    """
    parsed = config.from_dict(config.DatasetConvertSpec, spec)
    settings = parsed.dataset_convert
    folder = files.results_dir(parsed.results_dir, settings.results_dir, "dataset_convert")
    _check(settings)
    with status.session(folder, "dataset_convert") as log:
        source = Path(str(settings.data))
        found = _foreign(source, settings)
        if found is not None:
            return _import(folder, settings, found, log)
        tracks, counts = read_tracks(source, settings)
        log.write("RUNNING", f"Read {counts['records']} records with {len(tracks)} objects from {source}.")
        return _write(folder, source, tracks, counts, settings)


def _foreign(source: Path, settings: config.DatasetConvert) -> table.Found | None:
    """What is to be imported from another format than BodyPose; None for a BodyPose file.

    Raises:
        DataError: nothing that is known, several formats, or a data set that needs no conversion.
    """
    if settings.format == table.DEEPSTREAM:
        if source.is_dir():
            raise DataError(f"{source} is a folder; the format deepstream is one BodyPose JSON file")
        return None
    beside = [Path(str(path)) for path in (settings.label_file, settings.segments) if config.is_set(path)]
    if settings.format == "auto":
        if not source.exists() or (source.is_file() and table.is_deepstream(source)):
            return None
        if all((source / f"train_{kind}").exists() for kind in ("data.npy", "label.pkl")):
            raise DataError(f"{source} is converted already: use it as it is, with --dataset {source}")
        if source.suffix == ".json" and source.is_file() and not table.claims(source, beside=beside):
            return None  # whose reader says best what is wrong with it
    return table.recognise(source, settings.format, beside)


def _import(folder: Path, settings: config.DatasetConvert, found: table.Found, log: status.StatusLog) -> dict[str, Any]:
    def say(message: str) -> None:
        log.write("RUNNING", message)
        logging.getLogger("stgcn").info(message)

    say(f"Reading {settings.data} as {found.why}.")
    result = pipeline.convert(folder, settings, found, say)
    log.write("RUNNING", f"Wrote {result['metrics']['sequences']} sequences.", kpi=result["metrics"])
    return result


def _check(settings: config.DatasetConvert) -> None:
    longest, length, shortest = settings.sequence_length_max, settings.sequence_length, settings.sequence_length_min
    problems = []
    if not config.is_set(settings.data):
        problems.append(
            "dataset_convert.data is empty: set it to the JSON file of the DeepStream BodyPose app, or to a file or "
            "folder of another pose estimator"
        )
    if length > longest:
        problems.append(
            f"dataset_convert.sequence_length {length} is more than sequence_length_max {longest}: a window must fit"
        )
    if shortest > length:
        problems.append(
            f"dataset_convert.sequence_length_min {shortest} is more than sequence_length {length}: no window would be left"
        )
    if problems:
        raise SpecError(problems)


def _write(
    folder: Path,
    source: Path,
    tracks: Mapping[tuple[str, str], Track],
    counts: Mapping[str, int],
    settings: config.DatasetConvert,
) -> dict[str, Any]:
    """Write all objects beside their place, then move them in; conversion.json, which lists them, comes last."""
    several = len({track.stream for track in tracks.values()}) > 1
    made, left_out = [], []
    workshop = folder / f".converting-{secrets.token_hex(6)}"
    try:
        workshop.mkdir()
        for track in tracks.values():
            starts = window_starts(
                track.frames, settings.sequence_length, settings.sequence_length_min, settings.sequence_overlap
            )
            why_not = _why_not(track, starts, settings)
            if why_not:
                left_out.append({"object_id": track.name, "stream": track.stream, "frames": track.frames, "reason": why_not})
                continue
            name = f"stream_{track.stream}_object_{track.name}.npy" if several else f"object_{track.name}.npy"
            _write_windows(workshop / name, track.poses(), starts, settings)
            made.append(_description(track, name, len(starts), settings))
        if not made:
            raise DataError(_nothing(source, left_out))
        for entry in made:
            os.replace(workshop / entry["file"], folder / entry["file"])
    except OSError as error:
        raise files.unwritable(folder, error) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    windows = sum(entry["windows"] for entry in made)
    conversion = {
        "source": str(source),
        "sha256": files.sha256(source),
        **{key: getattr(settings, key) for key in _SETTINGS},
        **counts,
        "windows": windows,
        "objects": made,
        "left_out": left_out,
        "notes": _stale(folder, {entry["file"] for entry in made}),
    }
    written = files.write_json(folder / "conversion.json", conversion)
    return {
        "metrics": {"objects": len(made), "windows": windows, **{key: counts[key] for key in ("frames", "records")}},
        "artifacts": {"objects": str(folder), "conversion": str(written)},
    }


_SETTINGS = (
    "pose_type",
    "num_joints",
    "input_width",
    "input_height",
    "focal_length",
    "sequence_length_max",
    "sequence_length_min",
    "sequence_length",
    "sequence_overlap",
)


def _why_not(track: Track, starts: list[int], settings: config.DatasetConvert) -> str | None:
    if not starts:
        return f"{track.frames} frames, fewer than sequence_length_min {settings.sequence_length_min}"
    if track.pending:
        return "its root joint (joint 0) was never seen, so its poses have no origin"
    return None


def _nothing(source: Path, left_out: Sequence[Mapping[str, Any]]) -> str:
    if not left_out:
        return f"{source} holds no objects"
    reasons = "; ".join(f"object {entry['object_id']}: {entry['reason']}" for entry in left_out[:MOST_PROBLEMS])
    more = f"; and {len(left_out) - MOST_PROBLEMS} more" if len(left_out) > MOST_PROBLEMS else ""
    return f"{source} holds no object that can be converted: {reasons}{more}"


def _description(track: Track, name: str, windows: int, settings: config.DatasetConvert) -> dict[str, Any]:
    return {
        "object_id": track.name,
        "stream": track.stream,
        "file": name,
        "frames": track.frames,
        "windows": windows,
        "missing_joint_share": track.missing_joints / (track.frames * settings.num_joints),
        "roots_filled": track.roots_filled,
    }


def _write_windows(path: Path, poses: np.ndarray, starts: Sequence[int], settings: config.DatasetConvert) -> None:
    """Write the windows of one track, float32 (W, C, T, V, 1), a block at a time."""
    joints, channels = poses.shape[1:]
    shape = (channels, settings.sequence_length_max, joints, 1)
    per_block = max(1, BLOCK_BYTES // (4 * int(np.prod(shape))))
    with path.open("wb") as file:
        _write_header(file, (len(starts), *shape))
        for first in range(0, len(starts), per_block):
            block = starts[first : first + per_block]
            windows = np.zeros((len(block), *shape), dtype=np.float32)
            for window, start in zip(windows, block, strict=True):
                cut = poses[start : start + settings.sequence_length]  # (t, V, C)
                window[:, : len(cut), :, 0] = cut.transpose(2, 0, 1)
            file.write(windows.data)
        file.flush()
        os.fsync(file.fileno())


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _stale(folder: Path, made: set[str]) -> list[str]:
    """Say which files of an earlier conversion still lie in the folder."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        earlier = json.loads((folder / "conversion.json").read_text())["objects"]
        names = {str(entry["file"]) for entry in earlier} - made
        return [f"{name} is of an earlier conversion" for name in sorted(names) if (folder / name).exists()]
    return []
