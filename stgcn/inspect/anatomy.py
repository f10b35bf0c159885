"""Does the skeleton fit the data? Bones keep their length and join joints that are near each other; other pairs do not."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import graph
from stgcn.config import is_set
from stgcn.errors import SpecError
from stgcn.graph import LAYOUTS, Layout
from stgcn.inspect.finding import Finding
from stgcn.inspect.source import Part
from stgcn.inspect.view import View, selection

FITS, MISFIT, CLEARLY = 0.30, 0.40, 0.10  # strain of a skeleton: usual up to, surely wrong from, better by so much
SPEC, MODEL = "the spec", "the model"  # who says a layout before an action
FEWEST = 4  # joints below which nothing can be told


@dataclass(frozen=True)
class Skeleton:
    """The layout that is taken to be that of the data, where it is from, and how well each known layout fits (0 best)."""

    layout: Layout | None
    source: str  # "given", "layout.json", "info.json", "likely" or "unknown"; before an action SPEC or MODEL
    strain: float | None
    candidates: dict[str, float]
    bones: tuple[tuple[int, int], ...]  # what the data itself suggests


def find(folder: Path, wanted: str | None, sample: np.ndarray, view: View, findings: list[Finding]) -> Skeleton:
    """Take the layout that is given or lies in the folder, else the built-in one that fits best; findings are added.

    Raises:
        SpecError: the layout that was asked for cannot be read.
    """
    joints = sample.shape[3]
    spread = pair_ranks(sample, view)
    candidates = {name: round(strain(layout, spread), 3) for name, layout in LAYOUTS.items() if layout.num_joints == joints}
    candidates = dict(sorted(candidates.items(), key=lambda item: item[1])) if spread is not None else candidates
    layout, source = _declared(folder, wanted, findings)
    if layout is not None and layout.num_joints != joints:
        fitting = f"; layouts of {joints} joints: {', '.join(candidates)}" if candidates else ""
        text = f"layout {layout.name} ({source}) has {layout.num_joints} joints, the data V={joints}{fitting}"
        findings.append(Finding("error", "layout_size", text))
        layout = None
    if layout is None and candidates:
        layout, source = LAYOUTS[next(iter(candidates))], "likely"
    if layout is None:
        source = "unknown"
        findings.append(
            Finding(
                "warning",
                "no_layout",
                f"no layout is known for {joints} joints: give one with --layout FILE, or as layout.json",
            )
        )
    found = strain(layout, spread) if layout is not None and spread is not None else None
    bones = suggested_bones(spread, joints) if spread is not None else ()
    result = Skeleton(layout, source, found, candidates, bones)
    findings += judge(result)
    return result


def pair_ranks(sample: np.ndarray, view: View) -> np.ndarray | None:
    """How unlike a bone each pair of joints is, 0 to 1 (V, V): the mean rank of its length and of its change in length.

    None where there is too little to see.
    """
    joints = sample.shape[3]
    if len(sample) == 0 or joints < FEWEST:
        return None
    points, seen = view.coordinates(sample[..., None])
    points, seen = points[..., 0].transpose(0, 2, 3, 1), seen[..., 0]  # (S, F, V, D), (S, F, V)
    lengths, changes = np.zeros((joints, joints)), np.zeros((joints, joints))
    for a in range(joints):
        both = seen & seen[:, :, a : a + 1]
        far = np.linalg.norm(points - points[:, :, a : a + 1], axis=-1) * both
        count = np.maximum(both.sum(axis=1), 1)
        mean = far.sum(axis=1) / count
        change = np.sqrt(np.maximum((far**2).sum(axis=1) / count - mean**2, 0))
        usable = both.sum(axis=1) >= 3
        lengths[a] = _mean(mean, usable)
        changes[a] = _mean(change, usable)
    upper = np.triu_indices(joints, 1)
    ranks = np.zeros((joints, joints))
    ranks[upper] = (_ranks(lengths[upper]) + _ranks(changes[upper])) / 2
    return ranks + ranks.T


def _mean(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Median over sequences that have the pair; pairs nobody has are infinitely unlike a bone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pairs that nobody has
        result = np.nanmedian(np.where(usable, values, np.nan), axis=0)
    return np.where(np.isnan(result), np.inf, result)


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(len(values) - 1, 1)


def strain(layout: Layout | None, ranks: np.ndarray | None) -> float:
    """Mean rank of a layout's bones among all pairs of joints: 0 at best, about 0.5 for joints in a wrong order."""
    if layout is None or ranks is None or not layout.edges:
        return 0.5
    return float(np.mean([ranks[a, b] for a, b in layout.edges]))


def suggested_bones(ranks: np.ndarray, joints: int) -> tuple[tuple[int, int], ...]:
    """The spanning tree of the pairs that are most like bones."""
    inside, bones = {0}, []
    while len(inside) < joints:
        a, b = min(((a, b) for a in inside for b in range(joints) if b not in inside), key=lambda pair: ranks[pair])
        inside.add(b)
        bones.append((min(a, b), max(a, b)))
    return tuple(sorted(bones))


def _declared(folder: Path, wanted: str | None, findings: list[Finding]) -> tuple[Layout | None, str]:
    if is_set(wanted):
        return graph.resolve(str(wanted)), "given"
    for name in ("layout.json", "info.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content: Any = json.loads(path.read_text("utf-8"))
            if not isinstance(content, dict):
                continue
            if "joints" in content and "edges" in content:
                layout = graph.resolve(str(path))
                return next((known for known in LAYOUTS.values() if layout.same_skeleton(known)), layout), name
            stated = str(content.get("layout", "")).split(" ")[0]
            if stated in LAYOUTS:
                return LAYOUTS[stated], name
        except (OSError, ValueError, RecursionError) as error:
            findings.append(Finding("warning", "layout_file", f"{name} cannot be read: {str(error)[:100]}"))
        except SpecError as error:
            findings += [Finding("error", "layout_file", text) for text in error.problems]
    return None, "unknown"


def fits_better(skeleton: Skeleton) -> str | None:
    """A built-in layout that fits clearly better than the one that was taken."""
    best, least = next(iter(skeleton.candidates.items()), ("", 1.0))
    if skeleton.layout is None or skeleton.strain is None or best == skeleton.layout.name:
        return None
    return best if least < skeleton.strain - CLEARLY and least < MISFIT else None


def judge(skeleton: Skeleton) -> list[Finding]:
    """Say that another layout fits clearly better than the one that was taken, or that it fits none."""
    layout, found = skeleton.layout, skeleton.strain
    if layout is None or found is None:
        return []
    best, least = next(iter(skeleton.candidates.items()), ("", 1.0))
    data_says = ", ".join(f"{layout.joints[a]}-{layout.joints[b]}" for a, b in skeleton.bones[:6])
    if fits_better(skeleton):
        text = (
            f"{best} fits the data better than {layout.name} ({skeleton.source}): strain {least:.2f} against {found:.2f}, "
            f"where 0 is best and 0.50 is chance"
        ) + ("" if skeleton.source == MODEL else f". Set model.graph_layout={best}")
        return [Finding("error", "layout", text)]
    if found >= MISFIT:
        text = (
            f"the bones of {layout.name} ({skeleton.source}) are long and vary like those of no skeleton (strain {found:.2f}, "
            f"usual is below {FITS:.2f}, chance 0.50): the joints stand in another order, or another layout is meant. By the "
            f"names of this layout the data moves together at {data_says}, ..."
        )
        return [Finding("error", "layout", text)]
    return []


def check_splits(parts: dict[str, Part], view: View, skeleton: Skeleton) -> list[Finding]:
    """A split whose joints stand in another order than those of the others."""
    if skeleton.layout is None or len(parts) < 2:
        return []
    strains = {split: strain(skeleton.layout, pair_ranks(selection([part]), view)) for split, part in parts.items()}
    least = min(strains.values())
    return [
        Finding("error", "order", f"the joints of {split} stand in another order than those of {_best(strains)}: "
                f"strain of {skeleton.layout.name} is {value:.2f} there and {least:.2f} here", split)
        for split, value in strains.items()
        if value > least + 1.5 * CLEARLY and value > FITS and least < FITS
    ]  # fmt: skip


def _best(strains: dict[str, float]) -> str:
    return min(strains, key=lambda split: strains[split])
