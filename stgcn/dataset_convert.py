"""The action dataset_convert: DeepStream BodyPose JSON into one .npy of windows per object; all else goes to the importer."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stgcn import config, files, forked, jsonlist, status
from stgcn.bodypose import FEWEST_BYTES, MOST_PROBLEMS, read_tracks
from stgcn.bodytrack import Scratch, Track
from stgcn.errors import DataError, SpecError
from stgcn.formats import table
from stgcn.formats.deepstream import is_bodypose
from stgcn.progress import Progress
from stgcn.windows import window_starts
from stgcn.workshop import workshop

WINDOWS_AT_ONCE = 2**20  # bytes of windows written at once
HIDDEN = ".converting-"
CONVERSION = "conversion.json"


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
        _check_single(source, settings)
        return _convert(folder, source, settings, log)


def _foreign(source: Path, settings: config.DatasetConvert) -> table.Found | None:
    """What is to be imported from another format than BodyPose; None for a BodyPose file.

    Raises:
        DataError: nothing that is known, several formats, or a data set that needs no conversion.
    """
    if settings.format == table.DEEPSTREAM and not source.is_dir():
        return None
    beside = [Path(str(path)) for path in (settings.label_file, settings.segments) if config.is_set(path)]
    if settings.format == "auto":
        if not source.exists() or (source.is_file() and is_bodypose(source)):
            return None
        if all((source / f"train_{kind}").exists() for kind in ("data.npy", "label.pkl")):
            raise DataError(f"{source} is converted already: use it as it is, with --dataset {source}")
        if source.suffix == ".json" and source.is_file() and not table.claims(source, beside=beside):
            return None  # whose reader says best what is wrong with it
    return table.recognise(source, settings.format, beside, mixed=config.is_set(settings.target_layout))


def _import(folder: Path, settings: config.DatasetConvert, found: table.Found, log: status.StatusLog) -> dict[str, Any]:
    from stgcn.importer import pipeline
    from stgcn.inspect import before

    def say(message: str) -> None:
        log.write("RUNNING", message)
        logging.getLogger("stgcn").info(message)

    say(f"Reading {settings.data} as {found.why}.")
    result = pipeline.convert(folder, settings, found, say, lambda words: log.write("RUNNING", words))
    log.write("RUNNING", f"Wrote {result['metrics']['sequences']} sequences.", kpi=result["metrics"])
    facts, noticed = before.of_folder(folder)
    for text in noticed:
        say(text)
    result["artifacts"]["data_facts"] = str(files.write_json(folder / "data_facts.json", facts))
    return result


def _check_single(source: Path, settings: config.DatasetConvert) -> None:
    """Refuse settings of an import, which a single BodyPose file goes without."""
    default = config.DatasetConvert()
    asked = [name for name in _OF_IMPORTS if getattr(settings, name) != getattr(default, name) and source.is_file()]
    if asked:
        raise SpecError(
            f"{', '.join(f'dataset_convert.{name}' for name in asked)}: no effect on a single BodyPose file, which becomes one "
            f".npy per object, as in TAO; for a data set give a folder of such files, by class or with a label_file"
        )


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


def _convert(folder: Path, source: Path, settings: config.DatasetConvert, log: status.StatusLog) -> dict[str, Any]:
    """Make all files beside their place, then move them in; conversion.json, which lists them, comes last."""
    with workshop(folder, HIDDEN) as place, _Background() as background, _Digest(source) as digest:
        with (place / "poses").open("w+b", buffering=0) as file:
            with Progress(f"reading {source}", lambda words: log.write("RUNNING", words)) as progress:
                bad: list[str] = []
                skip = bad.extend if settings.on_error == "skip" else None
                tracks, counts = read_tracks(source, settings, Scratch(file), progress, skip)
            log.write("RUNNING", f"Read {counts['records']} records with {len(tracks)} objects from {source}.")
            made, left_out, at_work = _write_objects(place, tracks, settings, background)
            sha256 = digest.hex()
            for work in at_work:
                work.result()
        if not made:
            raise DataError(_nothing(source, left_out))
        windows = sum(entry["windows"] for entry in made)
        conversion = {
            "source": str(source),
            "sha256": sha256,
            **{key: getattr(settings, key) for key in _SETTINGS},
            **counts,
            "windows": windows,
            "objects": made,
            "left_out": left_out,
            "bad_records": bad,
            "notes": _stale(folder, {entry["file"] for entry in made}),
        }
        files.write_json(place / CONVERSION, conversion)
        # Not in this thread, which a signal may interrupt: the background ends what it has begun.
        background.submit(_move_in, place, folder, [entry["file"] for entry in made]).result()
    return {
        "metrics": {"objects": len(made), "windows": windows, **{key: counts[key] for key in ("frames", "records")}},
        "artifacts": {"objects": str(folder), "conversion": str(folder / CONVERSION)},
    }


class _Background(ThreadPoolExecutor):
    """A few threads beside the main one, for what waits for the disk; what has not begun when the block is left never does."""

    def __init__(self) -> None:
        super().__init__(max_workers=4)

    def __exit__(self, *error: Any) -> None:
        self.shutdown(cancel_futures=True)


class _Digest:
    """The SHA-256 of a file, worked out while that is read if a processor is left for it, else when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        long = path.is_file() and path.stat().st_size >= FEWEST_BYTES
        self.work = forked.Forked(self._work_out) if long and forked.spare() > 1 else None

    def __enter__(self) -> _Digest:
        return self

    def __exit__(self, *error: object) -> None:
        if self.work:
            self.work.stop()

    def hex(self) -> str:
        """The digest in hex; asked once."""
        said = self.work.answer() if self.work else None
        return (said or self._work_out()).decode()

    def _work_out(self) -> bytes:
        with jsonlist.explained(self.path):
            return files.sha256(self.path).encode()


def _move_in(place: Path, folder: Path, names: Sequence[str]) -> None:
    (folder / CONVERSION).unlink(missing_ok=True)  # of an earlier conversion, which is no more
    for name in (*names, CONVERSION):
        os.replace(place / name, folder / name)


def _write_objects(
    place: Path, tracks: Mapping[tuple[str, str], Track], settings: config.DatasetConvert, background: _Background
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Future[None]]]:
    """Begin one file for each object that has windows; gives what is written, what was left out, and the writing at work."""
    several = len({track.stream for track in tracks.values()}) > 1
    made, left_out = [], []
    at_work = []
    for track in tracks.values():
        starts = window_starts(track.frames, settings.sequence_length, settings.sequence_length_min, settings.sequence_overlap)
        why_not = _why_not(track, starts, settings)
        if why_not:
            left_out.append({"object_id": track.name, "stream": track.stream, "frames": track.frames, "reason": why_not})
            continue
        name = f"stream_{track.stream}_object_{track.name}.npy" if several else f"object_{track.name}.npy"
        at_work.append(background.submit(_write_windows, place / name, track, starts, settings))
        made.append(_description(track, name, len(starts), settings))
    return made, left_out, at_work


_OF_IMPORTS = (
    *("labels", "label_file", "segments", "split", "split_seed", "persons", "max_persons", "layout", "target_layout"),
    *("channels", "columns"),
)
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
    if track.rootless:
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


def _write_windows(path: Path, track: Track, starts: Sequence[int], settings: config.DatasetConvert) -> None:
    """Write the windows of one track, float32 (W, C, T, V, 1), some at a time."""
    length = settings.sequence_length
    shape = (track.channels, settings.sequence_length_max, settings.num_joints, 1)
    at_once = max(1, WINDOWS_AT_ONCE // (4 * int(np.prod(shape))))
    windows = np.zeros((min(at_once, len(starts)), *shape), dtype=np.float32)
    with path.open("wb") as file:
        _write_header(file, (len(starts), *shape))
        for number in range(0, len(starts), at_once):
            block = starts[number : number + at_once]
            poses = track.read(block[0], min(block[-1] + length, track.frames))  # (t, C, V)
            for window, start in zip(windows, block, strict=False):
                cut = poses[start - block[0] :][:length]
                window[:, : len(cut), :, 0] = cut.transpose(1, 0, 2)
                window[:, len(cut) : length] = 0
            file.write(windows[: len(block)].data)
        file.flush()
        os.fsync(file.fileno())


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _stale(folder: Path, made: set[str]) -> list[str]:
    """Say which files of an earlier conversion still lie in the folder."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        earlier = json.loads((folder / CONVERSION).read_text())["objects"]
        names = {str(entry["file"]) for entry in earlier} - made
        return [f"{name} is of an earlier conversion" for name in sorted(names) if (folder / name).exists()]
    return []
