"""The tools of `pose_classification` beside the actions: sample data, layouts, the look at a data set."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from runner import backend, bank
from runner.tao_cli.actions import NETWORK


def _run(arguments: argparse.Namespace, tool: str, settings: dict[str, Any]) -> backend.Outcome:
    """What the tool gives; the moving line is gone, as its answer is printed next."""
    outcome = backend.run_here(bank.by_network(NETWORK).info["tools"][tool]["entrypoint"], settings)
    arguments.line.stop()
    return outcome


def sample_data(arguments: argparse.Namespace) -> int:
    """Write synthetic data."""
    settings = {"out": arguments.out, "per_class": arguments.per_class, "frames": arguments.frames, "seed": arguments.seed}
    outcome = _run(arguments, "sample_clips" if arguments.keypoints else "sample_data", settings)
    sys.stdout.write("Synthetic sequences (made up, not recorded):\n")
    sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
    return 0


def layout(arguments: argparse.Namespace) -> int:
    """Show, draw or remap a skeleton."""
    outcome = _run(arguments, "layout", {name: getattr(arguments, name) for name in ("layout", "png", "to")})
    facts = outcome.metrics
    if arguments.json:
        sys.stdout.write(json.dumps({**facts, **outcome.artifacts}, indent=2, ensure_ascii=False) + "\n")
        return 0
    joints, target = facts["joints"], facts.get("to")
    lines = [f"{facts['name']}: {len(joints)} joints, {len(facts['edges'])} bones, centre {joints[facts['center']]}"]
    if target:
        lines += [f"As {target['name']}:", *(f"  {row['joint']:<24} {row['how']:<8} {row['says']}" for row in target["joints"])]
    else:
        lines += ["Joints:", *(f"  {i:>3}  {joint}" for i, joint in enumerate(joints))]
        lines += ["Bones:", *(f"  {joints[a]} - {joints[b]}" for a, b in facts["edges"])]
        lines += ["Left and right:"] * bool(facts["pairs"]) + [f"  {joints[a]} - {joints[b]}" for a, b in facts["pairs"]]
    lines += [f"Drawn to {path}" for path in outcome.artifacts.values()]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Look at a data set. Exit code 4, that of data which does not fit, when training would refuse it or mean nothing."""
    settings = {key: getattr(arguments, key) for key in ("data", "layout", "subjects", "html", "fix")}
    outcome = _run(arguments, "dataset_inspect", settings)
    report = outcome.metrics["report"]
    if arguments.json:
        sys.stdout.write(json.dumps({**report, "artifacts": outcome.artifacts}, ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(outcome.metrics["text"] + "\n")
        sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
    return 4 if report["counts"]["error"] else 0
