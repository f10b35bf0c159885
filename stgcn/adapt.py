"""Settings that say `auto`: what follows from the training sequences themselves. Looks at the training set, never at another.

Knows no files, no network and no epochs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stgcn import channels, config
from stgcn.arrays import SkeletonSet
from stgcn.augment import augmenter
from stgcn.graph import Layout
from stgcn.prepare import position_channels, prepare

LOOKED_AT = 1000  # sequences at most, evenly spread over the set
FRAMES = 12  # of a sequence, when two are compared
PLACES_TELL = 0.5  # body sizes by which bodies may lie apart for their place to be kept
MIRROR = 0.5  # the probability that auto stands for
FEWEST = 4  # sequences of a class to judge it by
TURNED = 0.5  # share of each of two classes that lies among the other one in a mirror, which forbids it
NEAR = 0.9  # a mirror image has company if its neighbour is no farther than this share of the sequences have theirs


def adapted(dataset: config.Dataset, train: SkeletonSet, layout: Layout) -> tuple[config.Dataset, list[str]]:
    """``dataset`` with every `auto` replaced, and a line about each; the same answer for the same training set.

    `preparation.confidence_channel`: the last of three or more channels, if it stays between 0 and 1 as no place does.
    `preparation.center` and `scale`: where the bodies of the set lie within half a body size of one another, they were placed
    already, and where a joint is tells something: nothing is moved or scaled. Else each sequence is centred and scaled.
    `augmentation.mirror`: 0.5, unless the layout knows no left and right, or a mirrored class looks like another class.
    """
    preparation, augmentation = dataset.preparation, dataset.augmentation
    said = []
    if preparation.confidence_channel == channels.AUTO:
        channel, unclear = _score_channel(train)
        preparation = replace(preparation, confidence_channel=channel)
        if unclear >= 0:
            said.append(
                "dataset.preparation.confidence_channel: every channel lies between 0 and 1, so nobody can tell whether the "
                f"last one is a score; it is taken for a coordinate. If it is a score, set confidence_channel={unclear}"
            )
        if channel >= 0:
            said.append(
                f"dataset.preparation.confidence_channel: {channel}, whose values lie between 0 and 1 as those of a score do"
            )
    if "auto" in (preparation.center, preparation.scale):
        apart = _apart(train, preparation)
        own = apart < PLACES_TELL
        preparation = replace(
            preparation,
            center=preparation.center if preparation.center != "auto" else "none" if own else "body",
            scale=preparation.scale if preparation.scale != "auto" else "none" if own else "spread",
        )
        said.append(
            f"dataset.preparation: bodies lie {apart:.2g} body sizes apart, so center={preparation.center} and "
            f"scale={preparation.scale}"
        )
    dataset = replace(dataset, preparation=preparation)
    if augmentation.mirror < 0:
        chance, why = _mirror(dataset, train, layout) if augmentation.enabled else (0.0, "augmentation is off")
        dataset = replace(dataset, augmentation=replace(augmentation, mirror=chance))
        said.append(f"dataset.augmentation.mirror: {chance:g}, since {why}")
    return dataset, said


def _sample(train: SkeletonSet) -> np.ndarray:
    count = len(train.data)
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).round().astype(int))


def _score_channel(train: SkeletonSet) -> tuple[int, int]:
    """The channel that is a score, -1 where none is; and the one that may be one for all that is known, else -1."""
    low, high = (
        bound([extreme(train.data[index], axis=(1, 2, 3)) for index in _sample(train)], axis=0).tolist()
        for bound, extreme in ((np.min, np.min), (np.max, np.max))
    )
    return channels.score_of(low, high)


def _apart(train: SkeletonSet, preparation: config.Preparation) -> float:
    """How far the bodies' middles are spread over the set, in body sizes: the root mean square over the axes."""
    middles, spreads = [], []
    for index in _sample(train):
        sequence = np.asarray(train.data[index], dtype=np.float64)
        present = sequence.any(axis=0)
        places = sequence[position_channels(len(sequence), preparation)][:, present]
        if places.shape[1] > 1:
            middles.append(places.mean(axis=1))
            spreads.append(np.sqrt(places.var(axis=1).sum()))
    size = float(np.median(spreads)) if spreads else 0.0
    return float(np.sqrt(np.var(middles, axis=0).mean()) / size) if size > 0 else 0.0


def _mirror(dataset: config.Dataset, train: SkeletonSet, layout: Layout) -> tuple[float, str]:
    """Whether sequences keep their class in a mirror; the probability, and the reason.

    A mirror image that is far from everything is new and harmless; one among the sequences of another class is not.
    """
    if not layout.pairs:
        return 0.0, f"the layout {layout.name} names no left and right"
    if len(position_channels(train.data.shape[1], dataset.preparation)) < 2:
        return 0.0, "one coordinate has no mirror"
    assert train.labels is not None
    chosen = _sample(train)
    labels = np.asarray(train.labels)[chosen]
    seen, mirrored = _views(dataset, train, layout, chosen)
    apart = _distances(seen, seen)
    np.fill_diagonal(apart, np.inf)
    flipped = _distances(mirrored, seen)
    np.fill_diagonal(flipped, np.inf)  # a symmetric sequence is its own mirror image
    near = flipped.min(axis=1) <= np.quantile(apart.min(axis=1), NEAR)
    after = np.where(near, labels[flipped.argmin(axis=1)], -1)
    classes = [label for label in np.unique(labels) if (labels == label).sum() >= FEWEST]
    turned = np.array([[(after[labels == own] == other).mean() for other in classes] for own in classes])
    names = {number: name for name, number in dataset.label_map.items()}
    for i, j in zip(*np.triu_indices(len(classes), 1), strict=True):
        if min(turned[i, j], turned[j, i]) >= TURNED:  # a mirror works both ways
            pair = " and ".join(names.get(int(classes[k]), str(classes[k])) for k in (i, j))
            return 0.0, f"{pair} are mirror images of each other"
    return MIRROR, "no two classes are mirror images of each other"


def _views(dataset: config.Dataset, train: SkeletonSet, layout: Layout, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chosen sequences and their mirror images, centred, scaled and cut short; (n, features) each."""
    own = replace(dataset.preparation, center="body", scale="spread", window=FRAMES, window_mode="resample")
    only = config.Augmentation(enabled=True, rotation=0.0, scale=0.0, mirror=1.0)
    mirror = augmenter(replace(dataset, preparation=own, augmentation=only), layout, train.data.shape[1])
    assert mirror is not None
    rng = np.random.default_rng(0)
    seen, mirrored = [], []
    for index in chosen:
        sequence = prepare(np.asarray(train.data[index], dtype=np.float32), own, layout)
        axes = position_channels(len(sequence), own)
        seen.append(sequence[axes].reshape(-1))
        mirrored.append(mirror(sequence, rng)[axes].reshape(-1))
    return np.stack(seen), np.stack(mirrored)


def _distances(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Squared distances of (n, features) to (m, features)."""
    squares: np.ndarray = (these**2).sum(axis=1)[:, None] + (those**2).sum(axis=1) - 2 * these @ those.T
    return squares
