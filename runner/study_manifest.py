"""Workers of a search as a Kubernetes Job: one pod for each, every secret by its name in a secret of the cluster.

Writes a manifest and speaks to no cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner import databases, keys
from runner.errors import UnknownJob, UsageError
from runner.jobs import JobStore

PODS, SECRET, WORKSPACE = 4, "skillbank", "/workspace"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"\d+(\.\d+)?([mkMGTPE]|[KMGTPE]i)?")
MISTAKES = [2, 3, 4, 5, 9]  # exit codes of what another try does not mend
TRIES = 6  # of one worker, whose node may go down
# Variable of the pod -> key of the secret; all but the first may be missing there.
SECRETS = {
    databases.VARIABLE: "storage",
    keys.VARIABLE: "encryption-key",
    "AWS_ACCESS_KEY_ID": "aws-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-access-key",
    "AWS_ENDPOINT_URL": "aws-endpoint-url",
    "AWS_DEFAULT_REGION": "aws-default-region",
}


def known(store: JobStore, job: str) -> dict[str, Any] | None:
    """The record of the search, where it was begun in this workspace."""
    try:
        return store.read(job)
    except UnknownJob:
        return None


def make(
    job: str,
    *,
    image: str | None,
    workers: str | None,
    secret: str | None,
    claim: str | None,
    words: Sequence[str],
    record: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest, and what has to be there before it is applied.

    Raises:
        UsageError: the search's study is in no database, or words are missing or wrong, all at once.
    """
    facts = (record or {}).get("automl") or {}
    if record is not None and not facts.get("storage"):
        hint = f"Begin one with --storage {databases.ALLOWED}."
        raise UsageError(f"{job} is no search in a database, which is what pods can reach.", hint=hint)
    study = str(facts.get("study_id") or job)
    options, problems = _options(words)
    count = PODS if workers is None else int(workers) if workers.isascii() and workers.isdigit() else 0
    if not 1 <= count <= 1000:
        problems.append(f"--workers {workers}: pods; allowed: 1 to 1000")
    if image is None:
        problems.append("--image IMAGE: the container image that has skillbank, is wanted")
    secret = secret or SECRET
    problems += [
        f"{name} {said}: not a name of Kubernetes" for name, said in (("--secret", secret), ("--claim", claim)) if _bad(said)
    ]
    if problems:
        raise UsageError("The manifest cannot be made:", problems=problems)
    manifest = _job(study, str(image), count, secret, claim, options)
    inputs = [str(item["uri"]) for item in (record or {}).get("inputs", []) if "://" not in str(item["uri"])]
    needs = [f"a secret {secret!r} with the key {SECRETS[databases.VARIABLE]!r}: the address of the database, password and all"]
    needs += [f"{uri} inside the pods" for uri in inputs]
    return {"search": study, "manifest": manifest, "needs": needs}


def text(manifest: Mapping[str, Any]) -> str:
    """The manifest as YAML."""
    import yaml

    found: str = yaml.safe_dump(dict(manifest), sort_keys=False, width=120)
    return found


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    rules = {"namespace": LABEL, "cpu": QUANTITY, "memory": QUANTITY, "gpus": re.compile(r"\d{1,2}")}
    found, problems = dict[str, str](), list[str]()
    for word in words:
        key, _, value = word.partition("=")
        if key not in rules:
            problems.append(f"--kubernetes {word}: allowed: {', '.join(f'{name}=...' for name in rules)}")
        elif not rules[key].fullmatch(value):
            problems.append(f"--kubernetes {word}: not a value of {key}")
        found[key] = value
    return found, problems


def _bad(name: str | None) -> bool:
    return name is not None and not LABEL.fullmatch(name)


def _job(study: str, image: str, count: int, secret: str, claim: str | None, options: Mapping[str, str]) -> dict[str, Any]:
    name = f"automl-{re.sub(r'[^a-z0-9]+', '-', study.lower()).strip('-')}"[:52].rstrip("-")
    labels = {"app.kubernetes.io/name": "tao-skill-bank", "app.kubernetes.io/instance": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            **({"namespace": options["namespace"]} if "namespace" in options else {}),
            "labels": labels,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": count,
            "backoffLimitPerIndex": TRIES,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "worker", "operator": "In", "values": MISTAKES},
                    },
                ]
            },
            "template": {"metadata": {"labels": dict(labels)}, "spec": _pod(study, image, secret, claim, options)},
        },
    }


def _pod(study: str, image: str, secret: str, claim: str | None, options: Mapping[str, str]) -> dict[str, Any]:
    index = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    requests = {key: options[key] for key in ("cpu", "memory") if key in options}
    limits = {"memory": options["memory"]} if "memory" in options else {}
    limits |= {"nvidia.com/gpu": options["gpus"]} if options.get("gpus", "0") != "0" else {}
    resources = {name: value for name, value in (("requests", requests), ("limits", limits)) if value}
    container = {
        "name": "worker",
        "image": image,
        "command": ["skillbank"],
        # A workspace for each pod: no lock is held across nodes, and with a claim its checkpoints are seen by all.
        "args": ["automl", "worker", "--study", study, "--workers", "1", "--workspace", f"{WORKSPACE}/$(WORKER_INDEX)"],
        "env": [{"name": "WORKER_INDEX", "valueFrom": index}, *(_secret(*pair, secret) for pair in SECRETS.items())],
        **({"resources": resources} if resources else {}),
        "volumeMounts": [{"name": "workspace", "mountPath": WORKSPACE}],
    }
    volume = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 90,
        "containers": [container],
        "volumes": [{"name": "workspace", **volume}],
    }


def _secret(variable: str, key: str, secret: str) -> dict[str, Any]:
    optional = {} if variable == databases.VARIABLE else {"optional": True}
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, **optional}}}
