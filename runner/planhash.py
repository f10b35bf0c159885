"""The hash of a resolved plan: what matters of it as plain data, its digest, and what differs from an earlier one.

Keeps a plan under ``<workspace>/plans`` so that it can be run by its hash alone. Starts nothing and opens no job.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from runner import fingerprint, plan, private, redact
from runner import spec as specs
from runner.errors import Problem, Refused, UsageError
from runner.plan import Plan, Request

FOLDER = "plans"
SHOWN = 16  # hex digits of a hash in a command; a shorter beginning than FEWEST names no plan
FEWEST = 12
HASH = re.compile(rf"[0-9a-f]{{{FEWEST},64}}")
OWN = frozenset({"workspace", "command", "plan", "job_id", "encryption_key"})  # of a request: not what runs, or never written
# Of a search: what decides how it goes.
STEERING = ("algorithm", "prune", "workers", "keep_trials", "join", "storage", "launch")
RESULTS = "{results_dir}"  # stands for the job's own folder, which is another in every job
PATHS = ("spec_file", "dataset", "pretrained", "results")  # of a request: kept so that they mean the same from any folder


class Identity(NamedTuple):
    """What matters of a plan, and its digest."""

    facts: dict[str, Any]
    hash: str

    @property
    def short(self) -> str:
        """The beginning of the hash, which is enough to name it."""
        return self.hash[:SHOWN]


def identify(made: Plan) -> Identity:
    """Everything that decides what the job would do: skill and schema, spec, data, route and budget, parents.

    The job's id and its own folder are left out, and so are secrets: only whether one is set counts.
    """
    secrets = made.schema.secrets()
    flat = specs.flatten(made.spec, made.schema.map_leaves())
    facts = {
        "skill": made.skill.name,
        "version": made.skill.version,
        "action": made.action.name,
        "entrypoint": made.action.entrypoint,
        "schema": fingerprint.of(made.action.schema_path).get("sha256"),
        "spec": {key: _own(made, value) for key, value in redact.redact(flat, secrets).items()},
        "data": _data(made),
        "route": {"kind": made.route.kind, "policy": made.route.policy},
        "budget": (made.search or {}).get("budget", {}),
        "search": {one["key"]: one for one in (made.search or {}).get("space", [])},
        "automl": {name: made.search.get(name) for name in STEERING} | {"final": _final(made.search)} if made.search else None,
        "series": {"what": made.series["what"], "children": made.series["children"]} if made.series else None,
        "results": redact.redact(_root(made)),
        "parent": made.parent["id"] if made.parent else None,
        "resume": made.resume["id"] if made.resume else None,
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    plain: dict[str, Any] = json.loads(text)  # as it is read back: no tuples, no paths
    return Identity(plain, digest(text))


def _final(search: Mapping[str, Any]) -> dict[str, str]:
    """The data that the best trial is evaluated on at the end."""
    return (search.get("final") or {}).get("inputs") or {}


def digest(text: str) -> str:
    """SHA-256 of a text, in hex digits."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _own(made: Plan, value: Any) -> Any:
    """A path in the job's own folder without that folder."""
    root = str(made.results_dir)
    return RESULTS + value[len(root) :] if isinstance(value, str) and f"{value}/".startswith(f"{root}/") else value


def _root(made: Plan) -> str | None:
    """Where the user wants the results; None for the workspace."""
    if made.upload_uri:
        return made.upload_uri.rpartition("/")[0]
    if str(made.results_dir) == made.ticket.results_dir:
        return None
    inside = made.results_dir.parent.name == made.ticket.id
    return str(made.results_dir.parent.parent if inside else made.results_dir)


def _data(made: Plan) -> dict[str, dict[str, Any]]:
    """The fingerprint of every input."""
    uris = {str(item["key"]): str(item["uri"]) for item in made.inputs}
    stored: dict[str, fingerprint.Fingerprint] = {}
    if remote := [uri for uri in uris.values() if uri.startswith("s3://")]:
        from runner import storage

        stored = storage.stamps(remote)
    return {key: stored.get(uri) or fingerprint.of(uri) for key, uri in uris.items()}


def unseen(identity: Identity) -> list[str]:
    """A note on what in storage could not be looked at, so that the hash does not tell when it changes."""
    keys = [key for key, one in identity.facts["data"].items() if one["kind"] == "unseen"]
    return [f"The plan's hash does not cover the content of {', '.join(keys)}: the store did not answer."] if keys else []


# -- kept plans ----------------------------------------------------------------------------------------------------


def keep(made: Plan, identity: Identity) -> None:
    """Keep the plan in its workspace, unless it is there or the workspace cannot be written: then it runs by its arguments.

    Where its arguments hold a secret, they are not written down.
    """
    path = made.request.workspace / FOLDER / f"{identity.hash}.json"
    if path.exists():
        return
    content = {
        "schema_version": 1,
        "plan_hash": identity.hash,
        "planned_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request": _kept(made),
        "facts": identity.facts,
    }
    with suppress(OSError):
        private.folder(private.folder(made.request.workspace) / FOLDER)
        private.replace(path, json.dumps(content, indent=1) + "\n")


def _kept(made: Plan) -> dict[str, Any] | None:
    """The request as it can be asked again from any folder; None where it holds a secret."""
    asked = {name: value for name, value in made.request._asdict().items() if name not in OWN}
    secrets = made.schema.secrets()
    said = {specs.parse_override(text)[0] for text in made.request.overrides}
    named = {key for key, _ in specs.expand_shorthand([(key, None) for key in said], made.skill.shorthand)}
    plain = json.loads(json.dumps(asked, default=str))
    if named & secrets or redact.redact(plain) != plain:
        return None
    for name in PATHS:
        if asked[name] is not None and "://" not in str(asked[name]):
            asked[name] = os.path.abspath(os.path.expanduser(asked[name]))
    return asked


def complete(request: Request) -> Request:
    """The request to run: where a plan is named and nothing else is said, what was planned.

    Raises:
        UsageError: what is named is no hash. Refused: no such plan is kept here, or not with its arguments.
    """
    if request.plan is None:
        return request
    if not HASH.fullmatch(request.plan):
        raise UsageError(
            f"--plan {request.plan}: not the hash of a plan; allowed: {FEWEST} to 64 hex digits.",
            hint="`skillbank plan` gives it.",
        )
    if request._replace(workspace=Path(), command=(), plan=None, job_id=None, encryption_key=None) != Request(workspace=Path()):
        return request
    found = find(request.workspace, request.plan)
    if found is None or found["request"] is None:
        why = "is not kept in this workspace" if found is None else "holds a secret in its arguments, which is not kept"
        raise Refused(
            f"The plan {request.plan} {why} ({request.workspace}).",
            hint="Repeat its arguments beside --plan, or plan again; another workspace is chosen by --workspace.",
        )
    told = found["request"]
    told |= {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    told["spec_file"] = Path(told["spec_file"]) if told["spec_file"] else None
    return Request(**told, **{name: getattr(request, name) for name in OWN})


def find(workspace: Path, plan_hash: str) -> dict[str, Any] | None:
    """The kept plan whose hash begins so; None where there is none, or more than one."""
    try:
        names = [name for name in os.listdir(workspace / FOLDER) if name.startswith(plan_hash) and name.endswith(".json")]
        content = json.loads((workspace / FOLDER / names[0]).read_text(encoding="utf-8")) if len(names) == 1 else None
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("facts"), dict):
        return None
    told = content.get("request")
    fits = isinstance(told, dict) and set(told) == set(Request._fields) - OWN
    return {"facts": content["facts"], "request": told if fits else None}


def check(made: Plan, identity: Identity) -> None:
    """Make sure that the plan is the one that was named.

    Raises:
        Refused: it is another; what changed is listed as far as it is known.
    """
    named = made.request.plan
    if named is None or identity.hash.startswith(named):
        return
    before = find(made.request.workspace, named)
    problems = list(differences(before["facts"], identity.facts)) if before else []
    lost = "" if before else " What it was is not kept in this workspace, so the differences cannot be named."
    raise Refused(
        f"What would run now is not the plan {named}: it is {identity.short}.{lost}",
        problems=problems,
        hint="Look at it again (`skillbank plan` with the same arguments) and run that plan.",
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Problem]:
    """What changed between two plans, in words."""
    for name in now:
        old, new = before.get(name), now[name]
        if old == new:
            continue
        if name == "data":
            yield from _changed_data(old or {}, new)
        elif isinstance(new, dict) and isinstance(old, dict):
            prefix = "" if name == "spec" else f"{name} "
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    yield Problem(f"{prefix}{key}", f"was {_short(old, key)} in the plan, is {_short(new, key)}")
        elif name == "schema":
            yield Problem(name, f"the schema of {now['action']} is another one than in the plan")
        else:
            yield Problem(name, f"was {_short(before, name)} in the plan, is {_short(now, name)}")


def _changed_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Problem]:
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if before is None or now is None:
            yield Problem(key, "is no input of the plan" if before is None else "was an input of the plan")
            continue
        told = f"{_size(before)} in the plan, {_size(now)} now"
        told = told if _size(before) != _size(now) else f"{_size(now)}, written or touched since the plan"
        yield Problem(key, f"the data is not what it was: {told}")


def _size(one: Mapping[str, Any]) -> str:
    kinds = {"absent": "not there", "unseen": "not seen"}
    return kinds.get(one["kind"]) or f"{one['bytes']} bytes ({str(one.get('sha256') or one.get('etag'))[:8]})"


def _short(mapping: Mapping[str, Any], key: str) -> str:
    text = json.dumps(mapping[key], default=str) if key in mapping else "not there"
    return text if len(text) <= 80 else f"{text[:79]}…"


def shown(made: Plan, identity: Identity) -> dict[str, Any]:
    """The plan as plain data for whoever asked for it: described, with its hash, what that rests on, and a search's review."""
    found = {**plan.describe(made), "plan_hash": identity.hash, "data": identity.facts["data"], "review": None}
    if made.search:
        from runner import study_review

        found["review"] = study_review.review(made)
    return found
