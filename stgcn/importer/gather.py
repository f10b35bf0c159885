"""The reading pass: recordings are labelled and cut one at a time, and their windows put into a scratch file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from stgcn import graph, splits, tracking
from stgcn.annotations import Lookup, Said, Segment, read_segments, read_table
from stgcn.config import DatasetConvert, is_set
from stgcn.errors import DataError
from stgcn.formats import table
from stgcn.formats.base import Options, Recording
from stgcn.importer.cutting import Cutter, Piece
from stgcn.progress import Progress
from stgcn.remap import Remapper

MOST_PROBLEMS = 20
WHOLE = 2**62  # beyond the last frame of anything
Say = Callable[[str], None]


class Window(NamedTuple):
    """One sequence in the scratch file."""

    name: str
    frames: int
    offset: int  # in numbers of float32
    label: str | None
    subject: str | None
    split: str | None
    group: str  # what may not be in two sets: the subject, else the recording


@dataclass
class Gathered:
    """What the reading pass found out."""

    cutter: Cutter
    windows: list[Window] = field(default_factory=list)
    layout: graph.Layout | None = None
    channels: tuple[str, ...] = ()  # those written
    recordings: int = 0
    frames: int = 0
    people: int = 0
    linked: int = 0  # people who were told apart by their poses
    left_out: list[dict[str, Any]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0
    label_sources: Counter[str] = field(default_factory=Counter)
    remapped: dict[str, tuple[Remapper, int]] = field(default_factory=dict)  # by source layout, with the recordings of it
    notes: list[str] = field(default_factory=list)

    @property
    def joints(self) -> int:
        """Joints V."""
        return self.layout.num_joints if self.layout else 0


class Gather:
    """The reading pass over all units of a format."""

    def __init__(self, settings: DatasetConvert, found: table.Found, tell: Say) -> None:
        self.settings, self.found, self.tell = settings, found, tell
        self.root = Path(str(settings.data))
        self.table: Lookup[Said] | None = read_table(Path(str(settings.label_file))) if is_set(settings.label_file) else None
        self.segments: Lookup[list[Segment]] | None = (
            read_segments(Path(str(settings.segments))) if is_set(settings.segments) else None
        )
        self.out = Gathered(Cutter(settings, self._leave_out))
        self.names: set[str] = set()
        self.first: tuple[str, str, int, tuple[str, ...]] | None = None  # what settled it: name, layout, V, channels
        self.target = graph.resolve(settings.target_layout) if is_set(settings.target_layout) else None
        self.sources: dict[tuple[str, int], graph.Layout] = {}  # of recordings by what they say of their joints
        self.remapper: Remapper | None = None  # of the recording in hand
        self.offset = 0
        self.units: list[tuple[table.Reader, Path]] = []

    def gather(self, scratch: Path) -> Gathered:
        """Write the windows of all recordings to ``scratch``.

        Raises:
            DataError: bad records where those are fatal, or nothing is left.
        """
        options = Options(
            bad=self.bad,
            columns=dict(self.settings.columns) or None,
            layout=self.settings.layout if is_set(self.settings.layout) else None,
            size=(self.settings.input_width, self.settings.input_height),
            settings=self.settings,
        )
        self.units = units = self.found.units()
        with scratch.open("wb") as file, Progress(f"reading {self.root}", self.tell) as progress:
            for number, (reader, unit) in enumerate(units):
                for recording in reader.read(unit, self.root, options):
                    self._take(recording, unit, file)
                    progress.what = f"{self.out.recordings} recordings, {len(self.out.windows)} sequences"
                    progress(number, len(units))
                progress(number + 1, len(units))
        self._refuse_bad()
        self._refuse_ambiguous()
        if not self.out.windows:
            raise DataError(self._nothing())
        self.out.notes += self._unused()
        return self.out

    def bad(self, where: str, why: str) -> None:
        """Note a record that cannot be used; where that is fatal, the end comes once enough are known."""
        self.out.bad_count += 1
        if len(self.out.bad) < MOST_PROBLEMS:
            self.out.bad.append(f"{where}: {why}")
        else:
            self._refuse_bad()

    def _refuse_bad(self) -> None:
        if self.out.bad and self.settings.on_error == "fail":
            count = f"{len(self.out.bad)} or more" if self.out.bad_count > MOST_PROBLEMS else str(len(self.out.bad))
            raise DataError([*self.out.bad, f"bad records: {count}; dataset_convert.on_error=skip leaves them out"])

    def _refuse_ambiguous(self) -> None:
        """A name that stands for several recordings would label all of them alike."""
        tables = ((self.settings.label_file, self.table), (self.settings.segments, self.segments))
        said = [(path, text) for path, lookup in tables if lookup for text in lookup.ambiguous()]
        if said:
            more = [f"... and {len(said) - MOST_PROBLEMS} more"] if len(said) > MOST_PROBLEMS else []
            raise DataError([f"{path}: {text}; give the folders too" for path, text in said[:MOST_PROBLEMS]] + more)

    def _leave_out(self, name: str, reason: str) -> None:
        self.out.left_out.append({"name": name, "reason": reason})

    def _take(self, recording: Recording, unit: Path, file: IO[bytes]) -> None:
        out = self.out
        out.recordings += 1
        if recording.name in self.names:
            self.bad(recording.name, "another recording has this name; rename one, or put them into different folders")
            return
        self.names.add(recording.name)
        if not self._fits(recording):
            return
        out.frames += recording.length
        said, folders, split = self._split(recording)
        subject = (said.subject if said else None) or recording.subject
        pieces = self._pieces(recording, self._label(recording, unit, said, folders))
        people, linked = tracking.tracks(recording) if pieces else ([], 0)
        if self.remapper is not None:
            people = _remapped(self.remapper, people)
        out.people += len(people)
        out.linked += linked
        if pieces and not people:
            self._leave_out(recording.name, "nobody is seen in it")
            return
        whole = (said.recording if said else None) or recording.facts.get("recording") or recording.name
        group = f"subject {subject}" if subject else f"recording {whole}"
        for name, label, data in out.cutter.sequences(recording, people, pieces):
            file.write(data.data)
            out.windows.append(Window(name, data.shape[1], self.offset, label, subject, split, group))
            self.offset += data.size

    def _fits(self, recording: Recording) -> bool:
        """The first recording settles joints and channels; all others have the same."""
        out = self.out
        counts = {frame.people.shape[1] for frame in recording.frames if len(frame.people)}
        if len(counts) != 1:
            if counts:
                self.bad(recording.name, f"its frames have different numbers of joints: {', '.join(map(str, sorted(counts)))}")
            else:
                self._leave_out(recording.name, "nobody is seen in it")
            return False
        joints, channels = counts.pop(), tuple(recording.channels)
        if self.target is not None:
            return self._fits_target(recording, joints, channels)
        if self.first is None:
            out.layout = layout_of(recording.layout, joints, self.settings)
            out.cutter.channels = tracking.chosen(channels, self.settings.channels)
            out.channels = tuple(channels[i] for i in out.cutter.channels)
            self.first = (recording.name, recording.layout, joints, channels)
        name, layout, count, settled = self.first
        if (recording.layout, joints, channels) == (layout, count, settled):
            return True
        self.bad(
            recording.name,
            f"it has {joints} joints ({recording.layout}) with {', '.join(channels)}; {name} has {count} ({layout}) with "
            f"{', '.join(settled)}; set dataset_convert.target_layout to bring them to one, or convert them separately",
        )
        return False

    def _fits_target(self, recording: Recording, joints: int, channels: tuple[str, ...]) -> bool:
        """Any skeleton fits that has joints of the target; the first recording settles the channels that are written."""
        out, target = self.out, self.target
        assert target is not None
        try:
            source = self.sources.get((recording.layout, joints)) or layout_of(recording.layout, joints, self.settings)
            chosen = tracking.chosen(channels, self.settings.channels)
        except DataError as error:
            if self.first is None and self.settings.on_error == "fail":
                raise  # about the settings rather than this recording
            self.bad(recording.name, "; ".join(error.problems))
            return False
        self.sources[recording.layout, joints] = source
        written = tuple(channels[i] for i in chosen)
        remapper, count = out.remapped.get(source.name) or (Remapper(source, target), 0)
        if remapper.count("missing") == target.num_joints:
            self.bad(recording.name, f"no joint of {target.name} can be had from those of {source.name}")
            return False
        if self.first is None:
            out.layout, out.channels = target, written
            self.first = (recording.name, source.name, joints, written)
        if written != out.channels:
            self.bad(
                recording.name,
                f"it would be written with {', '.join(written)}, {self.first[0]} with {', '.join(out.channels)}; set "
                f"dataset_convert.channels to what both have, such as x,y",
            )
            return False
        out.remapped[source.name] = remapper, count + 1
        out.cutter.channels, self.remapper = chosen, remapper
        return True

    def _split(self, recording: Recording) -> tuple[Said | None, list[str], str | None]:
        """What the table says of a recording, its folders below one named train, val or test, and its set if it is given."""
        said = self.table.get(recording.name) if self.table else None
        parts = recording.name.split("/")
        named = splits.set_name(parts[0]) if len(parts) > 1 else None
        given = (said.split if said else None) or recording.split
        split = splits.set_name(given) if given else named
        if given and split is None:
            source = f" of {self.settings.label_file}" if said and said.split else ""
            self.bad(recording.name, f"its set {given!r}{source} is none of train, val, test")
        return said, parts[1:] if named else parts, split

    def _label(self, recording: Recording, unit: Path, said: Said | None, folders: Sequence[str]) -> str | None:
        wanted, label, source = self.settings.labels, None, "folder"
        if wanted == "none" or self.segments:
            return None
        if wanted == "table" or (wanted == "auto" and self.table):
            label, source = (said.label if said else None), "table"
        elif wanted == "file" or (wanted == "auto" and recording.label is not None):
            label, source = recording.label, "file"
        elif len(folders) > 1 or (unit.is_dir() and unit != self.root):
            # A file that is all there is bears the name of the data set; its images may lie in folders of classes.
            alone = unit.is_file() and unit.parent == self.root and len(folders) > 2 and len(self.units) == 1
            label = folders[1 if alone and folders[0] == unit.stem else 0]
        if label is None:
            why = {
                "table": f"{self.settings.label_file} gives none",
                "file": "the data give none",
                "folder": "the data give none, and it lies in no class folder",
            }
            self._leave_out(recording.name, f"no label: {why[source]}")
        else:
            self.out.label_sources[source] += 1
        return label

    def _pieces(self, recording: Recording, label: str | None) -> list[Piece]:
        """What is taken of a recording: all of it, or its segments."""
        if not self.segments:
            wanted = label is not None or self.settings.labels == "none"
            return [Piece("", 0, WHOLE, label)] if wanted else []
        found = self.segments.get(recording.name) or []
        if not found:
            self._leave_out(recording.name, f"no label: {self.settings.segments} has no piece of it")
        self.out.label_sources["segments"] += bool(found)
        for piece in found:
            if piece.end > recording.length:
                self.bad(recording.name, f"its piece {piece.start} to {piece.end} ends after its {recording.length} frames")
        inside = [piece for piece in found if piece.end <= recording.length]
        return [Piece(f"_f{piece.start:06d}-{piece.end:06d}", *piece) for piece in inside]

    def _unused(self) -> list[str]:
        """Say what the tables name that is not there: a misspelt name would go unnoticed."""
        notes = []
        for path, lookup in ((self.settings.label_file, self.table), (self.settings.segments, self.segments)):
            unused = lookup.unused() if lookup else []
            if unused:
                listed = ", ".join(unused[:5]) + (", ..." if len(unused) > 5 else "")
                notes.append(f"{path} names {len(unused)} samples that are not in the data: {listed}")
        return notes

    def _nothing(self) -> str:
        reasons = Counter(entry["reason"] for entry in self.out.left_out)
        said = [f"{reason} ({count} times)" for reason, count in reasons.most_common(5)] + self.out.bad[:5]
        said += self._unused()
        hint = ""
        if "no label" in " ".join(said):
            hint = "; put recordings into folders named after their class, or set dataset_convert.label_file, or labels=none"
        listed = "; ".join(said) or "there is nobody in it"
        return f"{self.root} gives no sequence of its {self.out.recordings} recordings: {listed}{hint}"


def _remapped(remapper: Remapper, people: list[tracking.Track]) -> list[tracking.Track]:
    """The people with the joints of the target, less the frames in which none of those is seen."""
    brought = []
    for track in people:
        poses = remapper(np.stack(track.poses))
        seen: np.ndarray = np.asarray(poses.any(axis=(1, 2)))
        if seen.any():
            frames = [frame for frame, there in zip(track.frames, seen, strict=True) if there]
            brought.append(tracking.Track(track.name, frames, list(poses[seen])))
    return brought


def layout_of(name: str, joints: int, settings: DatasetConvert) -> graph.Layout:
    """The layout of the data: what the user says, else what the format says.

    Raises:
        DataError: it is not known, or has another number of joints.
    """
    known = graph.LAYOUTS.get(name)
    said = graph.resolve(str(settings.layout)) if is_set(settings.layout) else None
    layout = said or known
    if said and known and is_set(settings.target_layout) and said.num_joints != joints:
        layout = known  # of several skeletons the one that the format tells
    if layout is not None and layout.num_joints == joints:
        return layout
    fitting = [key for key, other in graph.LAYOUTS.items() if other.num_joints == joints]
    options = f"one of {', '.join(fitting)}, or a layout file" if fitting else "a layout file (no built-in layout fits)"
    if layout is not None:
        where = "dataset_convert.layout" if said else "the format"
        raise DataError(
            f"the data have {joints} joints, the layout {layout.name} of {where} has {layout.num_joints}; set {options}"
        )
    raise DataError(f"the data do not say what their {joints} joints are: set dataset_convert.layout to {options}")
