"""Checks of the coordinates: what is missing, broken, frozen, far out, repeated or of another scale."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from stgcn.graph import Layout
from stgcn.inspect.finding import MOST_LISTED, Finding, Level
from stgcn.inspect.measure import Measured
from stgcn.inspect.source import Part
from stgcn.inspect.view import View

MISSING, JOINT_MISSING = 0.3, 0.2  # shares from which a sequence or a joint is named
GAPS = 0.1  # share of empty frames
JUMP = 5.0  # body sizes (root mean square) in one frame
REACH = 12.0  # body sizes from the middle
REPEATED = 0.25  # share of repeated frames
BONE = 0.6  # how far (natural logarithm) a bone's share of the body may be from the usual
SHORT = 8  # frames
SCALE = 1.6  # ratio of body sizes between splits
PIXELS = 20.0  # coordinates beyond which pixels or millimetres are meant


class Check(NamedTuple):
    """A measure of how bad a sequence is, the limit above which it is named, and what is said of it."""

    level: Level
    code: str
    text: str
    limit: float
    bad: Callable[[Measured], np.ndarray]
    say: Callable[[Measured, int], str]


def check(parts: Mapping[str, Part], measured: Mapping[str, Measured], view: View, layout: Layout | None) -> list[Finding]:
    """All findings about values: of single sequences, of joints, of the whole."""
    rules = [*_absent(), *_strange(view, layout), *_proportions(measured)]
    found = [finding for rule in rules for finding in _apply(rule, parts, measured)]
    return found + _joints(measured, view, layout) + _between(measured, view)


def _apply(rule: Check, parts: Mapping[str, Part], measured: Mapping[str, Measured]) -> list[Finding]:
    """One finding about all sequences above the limit, the worst first, or none."""
    bad = {split: rule.bad(measured[split]) for split in parts}
    places = [(split, int(i)) for split in parts for i in np.flatnonzero(bad[split] > rule.limit)]
    if not places:
        return []
    places.sort(key=lambda place: -float(bad[place[0]][place[1]]))
    counts = {split: n for split in parts if (n := sum(place[0] == split for place in places))}
    said = [(split, parts[split].names[i], rule.say(measured[split], i)) for split, i in places[:MOST_LISTED]]
    listed = [f"{name} ({', '.join(filter(None, (split, words)))})" for split, name, words in said]
    split = next(iter(counts)) if len(counts) == 1 else None
    how_many = f" ({', '.join(f'{name} {n}' for name, n in counts.items())})" if split is None else ""
    text = f"{len(places)} {f'{split} ' if split else ''}sequence{'' if len(places) == 1 else 's'}{how_many} {rule.text}"
    return [Finding(rule.level, rule.code, text, split, listed, tuple(places[:2]), len(places))]


def _absent() -> list[Check]:
    """What is broken or not there."""

    def share(m: Measured) -> np.ndarray:
        total: np.ndarray = np.maximum(m.there * m.missing.shape[1], 1)
        return np.asarray(m.missing.sum(axis=1) / total)

    def gaps(m: Measured) -> np.ndarray:
        return np.asarray(m.empty_frames / np.maximum(m.length, 1))

    return [
        Check("error", "nonfinite", "with NaN or infinite values: training refuses them; a missing joint is written as 0", 0,
              lambda m: m.nonfinite, lambda m, i: f"{m.nonfinite[i]} values"),
        Check("warning", "empty", "with nobody in any frame", 0, lambda m: m.length == 0, lambda m, i: ""),
        Check("warning", "short", f"shorter than {SHORT} frames", 0, lambda m: np.where(m.length > 0, SHORT - m.length, 0),
              lambda m, i: f"{m.length[i]} frames"),
        Check("warning", "missing", f"with more than {MISSING:.0%} of the joints missing", MISSING, share,
              lambda m, i: f"{share(m)[i]:.0%}"),
        Check("warning", "gaps", f"with nobody in more than {GAPS:.0%} of the frames", GAPS, gaps,
              lambda m, i: f"{gaps(m)[i]:.0%}"),
    ]  # fmt: skip


def _strange(view: View, layout: Layout | None) -> list[Check]:
    """What no body does."""

    def relative(values: np.ndarray, m: Measured) -> np.ndarray:
        return np.asarray(values / np.where(m.size > 0, m.size, np.inf))

    def frozen(m: Measured) -> np.ndarray:
        joints = m.frozen.copy()
        joints[:, list(view.origin + view.fixed)] = False
        return joints

    def jump(m: Measured, i: int) -> str:
        frame, joint = m.step_at[i].tolist()
        return f"{_joint(joint, layout)} at frame {frame}, {relative(m.step, m)[i]:.0f} body sizes"

    return [
        Check("warning", "jump", f"in which a joint jumps more than {JUMP:.0f} body sizes between two frames", JUMP,
              lambda m: relative(m.step, m), jump),
        Check("warning", "far", f"in which a joint is more than {REACH:.0f} body sizes away from the rest", REACH,
              lambda m: np.where(relative(m.step, m) > JUMP, 0, relative(m.reach, m)),
              lambda m, i: f"{relative(m.reach, m)[i]:.0f} body sizes"),
        Check("warning", "frozen", "in which joints stand still to the last digit while others move", 0,
              lambda m: frozen(m).sum(axis=1), lambda m, i: _name_joints(np.flatnonzero(frozen(m)[i]), layout)),
        Check("note", "repeated", f"with more than {REPEATED:.0%} of the frames repeated (filled up, or doubled)", REPEATED,
              lambda m: m.repeated, lambda m, i: f"{m.repeated[i]:.0%}"),
    ]  # fmt: skip


def _proportions(measured: Mapping[str, Measured]) -> list[Check]:
    """Skeletons of other proportions than all the rest: joints swapped or in another order."""
    shares = {split: _shares(m.bones) for split, m in measured.items()}
    together = np.concatenate(list(shares.values()))
    if together.shape[1] < 3:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bones that nobody has
        usual = np.nanmedian(together, axis=0)

    def odd(m: Measured) -> np.ndarray:
        with np.errstate(all="ignore"):
            away = np.abs(np.log(_shares(m.bones) / usual))
        typical: np.ndarray = np.median(np.where(np.isfinite(away), away, 0), axis=1)
        return typical

    limit = max(BONE, 3 * float(np.median(np.concatenate([odd(m) for m in measured.values()]))))
    text = "whose bones have other proportions than those of the rest: are the joints in another order?"
    return [Check("warning", "proportions", text, limit, odd, lambda m, i: f"off by a factor of {np.exp(odd(m)[i]):.1f}")]


def _shares(bones: np.ndarray) -> np.ndarray:
    """Each bone's share in the sum of all."""
    with np.errstate(all="ignore"):
        return np.asarray(bones / np.nansum(bones, axis=1, keepdims=True))


def _joints(measured: Mapping[str, Measured], view: View, layout: Layout | None) -> list[Finding]:
    """Joints that say nothing, and joints that are often missing."""
    result = []
    if view.origin:
        names = _name_joints(np.asarray(view.origin), layout)
        if len(view.origin) == 1:
            result.append(Finding("note", "origin", f"{names} is zero in every frame: taken as the origin of the coordinates"))
        else:
            result.append(Finding("warning", "never_seen", f"{len(view.origin)} joints are never seen: {names}", count=0))
    if view.fixed:
        names = _name_joints(np.asarray(view.fixed), layout)
        result.append(Finding("note", "fixed", f"never moving in any sequence: {names}; the coordinates are relative to it"))
    missing = np.sum([m.missing.sum(axis=0) for m in measured.values()], axis=0)
    share = missing / max(1, sum(int(m.there.sum()) for m in measured.values()))
    often = np.argsort(-share, kind="stable")[: int((share > JOINT_MISSING).sum())]
    if len(often):
        named = ", ".join(f"{_joint(i, layout)} {share[i]:.0%}" for i in often[:6].tolist())
        result.append(Finding("note", "joint_missing", f"often missing: {named}{', ...' if len(often) > 6 else ''}"))
    return result


def _between(measured: Mapping[str, Measured], view: View) -> list[Finding]:
    """Scale and unit, over all splits and between them."""
    result = []
    sizes = {split: float(np.median(m.size[m.size > 0])) for split, m in measured.items() if (m.size > 0).any()}
    if sizes and max(sizes.values()) > SCALE * min(sizes.values()):
        listed = ", ".join(f"{split} {size:.3g}" for split, size in sizes.items())
        text = f"bodies are of different size between the splits ({listed}): other units, or another normalisation?"
        result.append(Finding("warning", "scale", text))
    largest = max(float(np.abs([m.low[: view.dims], m.high[: view.dims]]).max()) for m in measured.values())
    if sizes and np.median(list(sizes.values())) > PIXELS:
        unit = "millimetres" if view.dims == 3 else "pixels"
        text = f"coordinates reach {largest:.0f}: they look like {unit}, and the network expects values of about 1. Divide them"
        result.append(Finding("warning", "units", text))
    return result


def _joint(index: int, layout: Layout | None) -> str:
    return layout.joints[index] if layout is not None else f"joint {index}"


def _name_joints(indices: np.ndarray, layout: Layout | None) -> str:
    named = ", ".join(_joint(i, layout) for i in indices[:4].tolist())
    return f"{named}, {len(indices) - 4} more" if len(indices) > 4 else named
