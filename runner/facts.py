"""What a record says of a job about to start: what was asked, resolved and decided, where it runs, what identifies it.

Reads nothing and starts nothing; secrets are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

from runner import bank
from runner import plan as plans
from runner.plan import Plan
from runner.planhash import Identity
from runner.skill import Skill

MAKERS = ("train", "export")  # actions whose jobs have a model that others take, see runner.infer


def new_record(
    plan: Plan, *, study: str | None = None, reason: str | None = None, identity: Identity | None = None
) -> dict[str, Any]:
    """The record of a job about to start: what was asked, resolved and decided, without secrets."""
    job_folder = Path(plan.ticket.results_dir).parent
    described = plans.describe(plan)
    return {
        "schema_version": 1,
        "id": plan.ticket.id,
        "skill": plan.skill.name,
        "skill_version": plan.skill.version,
        "network_arch": plan.skill.network_arch,
        "action": plan.action.name,
        "results_dir": str(plan.results_dir),
        "log": str(job_folder / "logs" / "job.log"),
        "spec": described["spec"],
        "sources": described["sources"],
        "recipe": plan.recipe,
        "notes": list(plan.notes),
        "route": {**described["route"], **({"reason": reason} if reason else {})},
        "parent_job": described["parent_job"],
        "study_job": study,
        "retry_of": described["resume_of"],
        "inputs": plan.inputs,
        "outputs": plan.outputs,
        "upload_excludes": list(plan.action.upload_excludes),
        "upload_uri": plan.upload_uri,
        "automl": plan.search,
        "series": plan.series,
        "onward": onward(plan.skill, plan.action.name),
        "command": list(plan.request.command),
        "environment": environment(),
        "hashes": {**hashes(plan), **({"plan": identity.hash} if identity else {})},
    }


def onward(skill: Skill, action: str) -> list[dict[str, Any]]:
    """The actions that take the model of a job of this action, and whether they take a data set; so no skill is read later."""
    found = []
    for name, other in skill.actions.items():
        takes = any(str(function).startswith("parent_model") for function in other.spec_params.values())
        if takes and name != action and action in MAKERS:
            found.append({"action": name, "data": any("path" in rule for rule in other.data_sources.values())})
    return found


def hashes(plan: Plan) -> dict[str, str]:
    """What identifies the plan: the spec as resolved (without secrets) and the schema it was checked against."""

    def digest(value: object) -> str:
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    return {"spec": digest(plans.redacted(plan.spec, plan.schema)), "schema": digest(plan.schema.document)}


def environment() -> dict[str, Any]:
    """Where the job runs: versions of what matters, cores, threads. Versions are read from metadata, nothing is imported."""
    from importlib import metadata

    packages = {}
    for name in ("tao-skill-bank", "torch", "pytorch-lightning", "numpy", "onnx", "onnxruntime", "optuna"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        "packages": packages,
        "bank": bank.version(),
    }
