"""The action ``inference``: a class for every sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgcn import arrays, files
from stgcn.action import Started, started
from stgcn.config import is_set
from stgcn.description import class_names
from stgcn.predict import batch_size_of, json_lines, prepare, probabilities, records, run_over


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
    names = class_names(predictor.describe())
    probs = probabilities(run_over(predictor, test.data, batch_size_of(own, settings.dataset)))
    predicted = [names[i] for i in probs.argmax(axis=1)]
    output = Path(own.output_file) if is_set(own.output_file) else folder / "results.txt"
    written = {
        "predictions": files.write_text(output, "".join(f"{name}\n" for name in predicted)),
        "predictions_jsonl": files.write_text(
            output.with_suffix(".jsonl"), json_lines(records(test.names, probs, names, own.top_k))
        ),
        "data_facts": files.write_json(
            folder / "data_facts.json", {"test": arrays.facts(test, predictor.describe()["label_map"])}
        ),
    }
    status.write("RUNNING", f"Predictions of {len(predicted)} sequences are in {output}.")
    counts = Counter(predicted)
    return {
        "metrics": {"sequences": len(predicted), "classes": {name: counts[name] for name in names}},
        "artifacts": {name: str(path) for name, path in written.items()},
    }
