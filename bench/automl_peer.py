"""Runs inside the other tool's environment: its AutoML class proposes settings on stdout, values come back on stdin.

Arguments: a folder, the seed, the number of trials, the ranges and the given settings as JSON. Needs nothing of this project.
"""

import contextlib
import json
import logging
import sys
import warnings


def main() -> None:
    """Ask for recommendations one after the other, as its documentation shows."""
    folder, seed, trials, ranges, given = sys.argv[1:6]
    ranges, given = json.loads(ranges), json.loads(given)
    out = sys.stdout
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        from tao_automl import AutoML

        spec = {"results_dir": "", "train": {"num_epochs": 27, "optim": {}}, "model": {}, "dataset": {}}
        for key, value in given.items():
            node = spec
            *sections, last = key.split(".")
            for section in sections:
                node = node.setdefault(section, {})
            node[last] = value
        search = AutoML(
            workspace=folder,
            network="pose_classification",
            train_specs=spec,
            settings={
                "algorithm": "bayesian",
                "metric": "val_loss",
                "automl_max_recommendations": int(trials),
                "session_id": f"seed-{seed}",
            },
            automl_hyperparameters=sorted(ranges),
            custom_param_ranges={key: _range(found) for key, found in ranges.items()},
        )
        while not search.is_complete():
            for found in search.next_recommendation():
                print(json.dumps({key: found.specs[key] for key in ranges}), file=out, flush=True)
                value = json.loads(sys.stdin.readline())
                said = {"status": "failure"} if value is None else {}
                search.report_result(found.id, value or 0.0, **said)


def _range(found: dict) -> dict:
    """A range as its custom ranges have it; ends in lists make it sample on a logarithmic axis."""
    if not found["log"] or isinstance(found["low"], int):
        return {"valid_min": found["low"], "valid_max": found["high"]}
    return {"valid_min": [found["low"]], "valid_max": [found["high"]], "disable_list": True}


if __name__ == "__main__":
    main()
