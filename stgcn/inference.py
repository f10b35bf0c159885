"""The action ``inference``: a class for every sequence."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import arrays, files
from stgcn.action import Started, started
from stgcn.config import is_set
from stgcn.description import class_names, unknown_threshold_of
from stgcn.predict import (
    UNKNOWN,
    batch_size_of,
    check_unknown,
    inspected,
    json_lines,
    prepare,
    probabilities,
    records,
    run_over,
)

log = logging.getLogger("stgcn")


def run(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Predict as ``spec`` says.

    Returns:
        ``metrics`` (how often each class was predicted) and ``artifacts`` by name.

    Raises:
        TrainerError: a mistake in the spec, the data or the model.
    """
    with started("inference", spec) as action:
        return main(action)


def main(action: Started) -> dict[str, Any]:
    """Load, predict, write."""
    settings, folder, status = action
    own = settings.inference
    predictor, test = prepare(action, "inference", need_labels=False)
    described = predictor.describe()
    names = class_names(described)
    check_unknown("inference.unknown_below", own.unknown_below, names)
    checked = inspected(action, described, test)
    logits = run_over(predictor, test.data, batch_size_of(own, settings.dataset), lambda words: status.write("RUNNING", words))
    probs = probabilities(logits, described)
    told = list(records(test.names, probs, names, own.top_k, own.unknown_below))
    counts = Counter(record["predicted"] for record in told)
    output = Path(own.output_file) if is_set(own.output_file) else folder / "results.txt"
    written = {
        "predictions": files.write_lines(output, (record["predicted"] for record in told)),
        "predictions_jsonl": files.write_text(output.with_suffix(".jsonl"), json_lines(told)),
        "data_facts": files.write_json(
            folder / "data_facts.json", {"test": arrays.facts(test, described["label_map"]), "inspection": checked}
        ),
    }
    status.write("RUNNING", f"Predictions of {len(told)} sequences are in {output}.")
    return {
        "metrics": {
            "sequences": len(told),
            "classes": {name: counts[name] for name in names},
            **({"unknown": counts[UNKNOWN]} if own.unknown_below > 0 else {}),
            **hint(probs.max(axis=1), unknown_threshold_of(described)),
        },
        "artifacts": {name: str(path) for name, path in written.items()},
    }


def hint(highest: np.ndarray, threshold: float | None) -> dict[str, Any]:
    """The model's own threshold for the unknown, and how many of the ``highest`` probabilities lie below it."""
    if threshold is None:
        return {}
    below = int((highest < threshold).sum())
    log.info(
        f"the model's own threshold is inference.unknown_below={threshold:g}: {below} of {len(highest)} sequences lie below"
    )
    return {"unknown_threshold": threshold, "below_threshold": below}
