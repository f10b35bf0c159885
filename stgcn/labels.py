"""Label files: sample names and class ids, from .pkl, .json, .npy or .csv. Nothing read is executed; knows no sequences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import delimited, npy, pickled, pickles
from stgcn.errors import DataError

EXPECTED = "expected two lists of the same length, (sample names, class ids)"
MOST_NAMED = 5
LARGEST = 2**63
SAMPLE = ("sample", "name", "file", "video", "clip")
LABEL = ("label", "class", "action")  # class ids or names, as they turn out
ID = ("class_id", "label_id")
NAME = ("class_name", "label_name")


def read_labels(path: str | Path, label_map: Mapping[str, int] | None = None) -> tuple[list[str], np.ndarray]:
    """Read a label file: a pickle or JSON of (names, class ids), a .npy of class ids, or a .csv of samples and labels.

    ``label_map`` gives the ids of the class names that a .csv may hold instead of ids.

    Returns:
        The N names, and the class ids as int64 (N,).

    Raises:
        DataError: the file is missing, broken, of another form, or a pickle that is more than plain data.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        names, texts, column = read_csv(path)
        return names, np.array(_ids_of(path, texts, column, label_map or {}), dtype=np.int64)
    try:
        content = _load(path)
    except pickled.PickleRefused as error:
        raise DataError(f"{path} cannot be read as labels: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as labels: it is broken ({str(error)[:100]})") from None
    if isinstance(content, np.ndarray):
        ids = _ids(path, content)
        return [str(i) for i in range(len(ids))], ids
    if isinstance(content, Mapping):
        content = [content.get("names"), content.get("labels")]
    if not isinstance(content, list | tuple) or len(content) != 2 or not all(_is_list(part) for part in content):
        raise DataError(f"{path}: {EXPECTED}; it holds {_describe(content)}")
    names, ids = content[0], _ids(path, content[1])
    if len(names) != len(ids):
        raise DataError(f"{path}: {EXPECTED}; it holds {len(names)} names and {len(ids)} class ids")
    return [_name(path, name) for name in names], ids


def read_csv(path: Path) -> tuple[list[str], list[str], str]:
    """Sample names and labels, as they are written, of a CSV with the columns sample and label, and what that one is called.

    Raises:
        DataError: it cannot be read, lacks a column, or has rows without a label; all problems at once.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    names, labels, column = [], [], ""
    problems: list[str] = []
    for line, row in delimited.rows(path, required=(SAMPLE, (*LABEL, *ID, *NAME))):
        column = column or next(name for name in (*ID, *NAME, *LABEL) if name in row or name == LABEL[-1])
        name, label = delimited.cell(row, SAMPLE), row.get(column)
        if name is None or not label:
            problems.append(f"{path}, line {line}: no {'sample' if name is None else 'label'} is given")
        names.append(name or "")
        labels.append(label or "")
    if problems:
        more = [f"{path}: and {len(problems) - MOST_NAMED} more lines like these"] if len(problems) > MOST_NAMED else []
        raise DataError(problems[:MOST_NAMED] + more)
    if not labels:
        raise DataError(f"{path} has no rows; expected the columns sample and label, with one row per sequence")
    return names, labels, column


def _ids_of(path: Path, labels: list[str], column: str, label_map: Mapping[str, int]) -> list[int]:
    """Class ids from texts that are ids, or names of ``label_map``."""
    numbers = [_whole(label) for label in labels]
    as_ids = [number for number in numbers if number is not None] if column not in NAME else []
    as_names = [label_map[label] for label in labels if label in label_map] if column not in ID else []
    readings = [reading for reading in (as_ids, as_names) if len(reading) == len(labels)]
    if len(readings) == 2 and as_ids != as_names:
        raise DataError(
            f"{path}: its labels may be class ids or names of dataset.label_map, which give them other ids; call the column "
            f"{ID[0]} or {NAME[0]}"
        )
    if readings:
        return readings[0]
    if column in ID or (as_ids and not as_names):
        strays = [label for label, number in zip(labels, numbers, strict=True) if number is None]
        raise DataError(f"{path}: {_some(strays)}: not a class id; expected whole numbers")
    strays = [label for label in labels if label not in label_map]
    known = f"it has {_some(list(label_map))}" if label_map else "it is empty; set it, or write class ids"
    raise DataError(f"{path}: {_some(strays)}: no class of dataset.label_map; {known}")


def _whole(text: str) -> int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if abs(number) < 2**53 and number.is_integer() else None


def _some(names: list[str]) -> str:
    """The first few of some names, each once."""
    found = list(dict.fromkeys(names))
    return ", ".join(repr(name[:40]) for name in found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")


def _load(path: Path) -> Any:
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.suffix == ".npy":
        return np.array(npy.open_array(path, "class ids, (N,)"))
    if path.stat().st_size > pickles.MAX_BYTES:
        raise DataError(f"{path} cannot be read as labels: it is larger than {pickles.MAX_BYTES >> 20} MiB")
    content = path.read_bytes()
    if not content:
        raise DataError(f"{path} is empty; {EXPECTED}")
    return json.loads(content) if path.suffix == ".json" else pickles.loads(content)


def _is_list(part: object) -> bool:
    return isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.ndim == 1)


def _describe(content: object) -> str:
    if isinstance(content, list | tuple):
        return f"{len(content)} items" + "".join(f", {type(item).__name__}" for item in content[:3])
    return f"a {type(content).__name__}"


def _name(path: Path, name: object) -> str:
    if isinstance(name, bytes):
        return name.decode("utf-8", errors="replace")
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, str) or (isinstance(name, int | float) and abs(name) < LARGEST):
        return str(name).encode(errors="replace").decode()  # half a surrogate pair could never be written again
    raise DataError(f"{path}: {EXPECTED}; a sample name is a {type(name).__name__}")


def _ids(path: Path, values: Any) -> np.ndarray:
    """Class ids as int64 (N,), from integers, whole floats, numpy scalars or arrays of one element."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        array = values
    else:
        array = np.asarray([_number(path, i, value) for i, value in enumerate(values)])
    if array.ndim != 1:
        raise DataError(f"{path}: class ids have shape {array.shape}; expected one number per sample, (N,)")
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        ids = array.astype(np.int64)
    if not np.array_equal(ids, array):
        raise DataError(f"{path}: class ids are not all whole numbers")
    return ids


def _number(path: Path, index: int, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in (int, float) or not abs(value) < LARGEST:
        raise DataError(f"{path}: class id {index} is {_short(value)}; expected a whole number")
    return value


def _short(value: object) -> str:
    if isinstance(value, str | bytes):
        return repr(value[:40])
    return str(value) if isinstance(value, bool | float | None) else f"of type {type(value).__name__}, or too large"


def check_labels(ids: np.ndarray, num_classes: int, label_map: Mapping[str, int], n_data: int) -> list[str]:
    """List what is wrong between labels, classes and data: their numbers, and ids out of [0, num_classes)."""
    problems = []
    if len(ids) != n_data:
        problems.append(f"{len(ids)} labels for {n_data} sequences; expected one label per sequence")
    strays = Counter(ids[(ids < 0) | (ids >= num_classes)].tolist())
    if strays:
        listed = ", ".join(f"{i} ({n} times)" for i, n in sorted(strays.items())[:MOST_NAMED])
        more = ", ..." if len(strays) > MOST_NAMED else ""
        classes = ", ".join(f"{i} {name}" for name, i in sorted(label_map.items(), key=lambda item: item[1])[:20])
        known = f" ({classes})" if classes else ""
        problems.append(f"class ids out of range: {listed}{more}; allowed are 0 to {num_classes - 1}{known}")
    return problems
