"""The eight tools: their arguments and hints, and the command line that each call means. Calls nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from runner import spec as specs
from runner.errors import Problem, SkillBankError, UsageError
from runner.redact import redact
from runner.schema import ActionSchema

Arguments = Mapping[str, Any]
Schema = dict[str, Any]

NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]"}
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 1}
STATES = ["PENDING", "RUNNING", "COMPLETE", "ERROR", "CANCELED", "UNKNOWN"]


def _said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


SKILL = _said(NAME, "Name of the skill, from list_skills.")
ACTION = _said(NAME, "Action of the skill, such as train, evaluate, export or inference.")
JOB = _said(NAME, "Id of the job.")
# What a request may say; each is the option of the same name, or stands before them.
REQUEST: dict[str, Schema] = {
    "skill": _said(NAME, "Name of the skill; may be left out with phrase."),
    "action": _said(NAME, "Action of the skill; may be left out with phrase."),
    "phrase": _said(TEXT, "What the user said; names skill, action and whether AutoML is wanted."),
    "dataset": _said(TEXT, "Folder on the server's machine, or s3:// prefix, whose files fill the spec's data paths."),
    "spec": _said(TEXT, "Spec file on the server's machine, YAML or JSON."),
    "settings": {
        "type": "object",
        "description": 'Spec values by dotted key, such as {"train.num_epochs": 30}. No secrets: they belong in the '
        "environment of the server.",
    },
    "parent": _said(NAME, "Job whose artifacts are used."),
    "checkpoint": _said(TEXT, "Of the parent: best (default), latest, epoch:N or step:N."),
    "resume": _said(NAME, "Train job to go on with, from its latest checkpoint."),
    "pretrained": _said(TEXT, "Checkpoint file whose weights start the training."),
    "automl": {
        "type": "string",
        "enum": ["on", "off"],
        "description": "Search, or train once; default: the phrase's word, else on.",
    },
    "trials": _said(COUNT, "Budget of the search: trials; default 10."),
    "epochs": _said(COUNT, "Budget of the search: epochs of all trials together."),
    "time": _said(TEXT, "Budget of the search: time, such as 30s, 10m, 2h."),
    "algorithm": _said(TEXT, "Of the search: bayesian (default), bfbo, random, asha, hyperband, bohb, dehb or agent."),
    "search": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": 'Settings to search too, or otherwise, with their ranges: {"train.optim.lr": "log:1e-3..0.3", '
        '"model.dropout": "0,0.25,0.5"}; an empty range is the setting\'s own.',
    },
    "no_search": {
        "type": "array",
        "items": TEXT,
        "description": "Settings to leave as they are; all: search what search names, and nothing else.",
    },
    "workers": _said(COUNT, "Trials at once; default: what cores, GPUs and memory allow."),
    "keep_trials": _said({"type": "boolean"}, "Keep the checkpoints of all trials, not of the best alone."),
    "results": _said(TEXT, "Folder or s3:// prefix under which the job's results go."),
    "recipe": _said(TEXT, "Recipe laid under what is said, or none; default: the skill's own."),
    "folds": _said(COUNT, "Cross-validate: so many trainings, each validated on another part."),
    "seeds": _said(COUNT, "Train so many times, each with another seed."),
    "learning_curve": _said(TEXT, "Train on growing shares of the data, such as 0.25,0.5,1."),
}
OPTIONS = (
    *("phrase", "dataset", "spec", "parent", "checkpoint", "resume", "pretrained"),
    *("automl", "algorithm", "workers", "results", "recipe"),
)
BUDGETS = ("trials", "epochs", "time")
NUMBERS = ("folds", "seeds", "learning_curve")
SUBMIT = {
    **REQUEST,
    "plan": _said(TEXT, "plan_hash of the plan to run: that very plan, or nothing if anything changed. May stand alone."),
    "job_id": _said(NAME, "Id the job is to have. Asked for again in the same words, it is the same job."),
}


class Tool(NamedTuple):
    """A tool as clients see it, and the command line of a call."""

    name: str
    verb: str
    title: str
    description: str
    arguments: dict[str, Schema]
    required: tuple[str, ...]
    words: Callable[[Arguments], list[str]]
    data: dict[str, Schema]  # of the answer's data: what is always in it
    reads_only: bool = True
    destroys: bool = False
    repeats: bool = True  # a second call with the same arguments has no further effect
    leaves: bool = False  # may reach out of this machine, to s3:// addresses that the call names

    @property
    def input_schema(self) -> Schema:
        """JSON Schema of the arguments."""
        return {
            "type": "object",
            "additionalProperties": False,
            "required": list(self.required),
            "properties": self.arguments,
        }

    @property
    def output_schema(self) -> Schema:
        """JSON Schema of the answer: the envelope, with what its data holds when the call succeeded."""
        text = {"type": "array", "items": {"type": "string"}}
        error = {
            "type": "object",
            "required": ["class", "message", "exit_code"],
            "properties": {"class": {"type": "string"}, "message": {"type": "string"}, "exit_code": {"type": "integer"}},
        }
        return {
            "type": "object",
            "required": ["ok", "schema_version", "command", "data", "warnings", "error", "next"],
            "properties": {
                "ok": {"type": "boolean"},
                "schema_version": {"const": 1},
                "command": {"type": "string"},
                "data": {"anyOf": [{"type": "object", "properties": self.data}, {"type": "null"}]},
                "warnings": text,
                "error": {"anyOf": [error, {"type": "null"}]},
                "next": text,
            },
        }

    def command(self, arguments: Arguments) -> list[str]:
        """The command line that a call with these arguments means.

        Raises:
            UsageError: arguments that are wrong, all of them; or one that holds a secret.
        """
        problems = ActionSchema({**self.input_schema, "default": {}}).problems(arguments)
        if problems:
            said = [Problem(p.path, p.says.replace("no such setting", "no such argument"), p.allowed) for p in problems]
            raise UsageError(f"The arguments of {self.name} are wrong.", problems=said)
        _no_secrets(self.name, arguments)
        return self.words(arguments)


def _no_secrets(tool: str, arguments: Arguments) -> None:
    """Arguments go through clients, transcripts and models: a secret among them is refused, not used."""
    masked = redact(arguments, _secret_settings(arguments.get("skill")))
    plain = json.loads(json.dumps(arguments))
    wrong = [name for name in arguments if masked[name] != plain[name]]
    for key in list(plain.get("settings") or {}):
        if "settings" in wrong and masked["settings"][key] != plain["settings"][key]:
            wrong = [name for name in wrong if name != "settings"] + [f"settings {key}"]
    if wrong:
        raise UsageError(
            f"{tool}: an argument holds a secret, and secrets are no arguments of tools.",
            problems=[
                Problem(name, "looks like a secret", "the environment of the server, or a file that it reads") for name in wrong
            ],
            hint="An encryption key is taken from $SKILLBANK_ENCRYPTION_KEY, AWS credentials from where the AWS tools look.",
        )


def _secret_settings(skill: object) -> set[str]:
    """The settings of a skill that are secret by its schemas, under every name they have."""
    if not isinstance(skill, str):
        return set()
    from runner import bank

    try:
        known = bank.get(skill)
        keys = {key for schema in known.schemas().values() for key in schema.secrets()}
    except SkillBankError:  # said by the call itself
        return set()
    return keys | {short for short, key in known.shorthand.items() if key in keys}


def _words(*words: object, **options: object) -> list[str]:
    """A command line; options that were not given are left out."""
    line = [str(word) for word in words if word is not None]
    for name, value in options.items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            line += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    return line


def _request(*verb: str) -> Callable[[Arguments], list[str]]:
    def words(said: Arguments) -> list[str]:
        line = _words(*verb[:1], said.get("skill"), said.get("action"), *verb[1:])
        line += _words(**{name: said.get(name) for name in OPTIONS})
        for key, value in (said.get("settings") or {}).items():
            line += _words(set=f"{key}={specs.as_text(value)}")
        for name in BUDGETS:
            line += _words(budget=f"{name}={said[name]}" if name in said else None)
        for key, limits in (said.get("search") or {}).items():
            line += _words(search=f"{key}={limits}" if limits else key)
        for key in said.get("no_search") or ():
            line += _words(no_search=key)
        line += ["--keep-trials"] if said.get("keep_trials") else []
        line += _words(**{name: said.get(name) for name in NUMBERS})
        return line + _words(plan=said.get("plan"), job_id=said.get("job_id"))

    return words


def _list(_: Arguments) -> list[str]:
    return ["list"]


def _describe(said: Arguments) -> list[str]:
    return _words("show", said["skill"], said.get("action"), path=said.get("setting"))


def _status(said: Arguments) -> list[str]:
    return ["status", said["job"]] if "job" in said else ["jobs"]


def _logs(said: Arguments) -> list[str]:
    return _words("logs", said["job"], lines=said.get("lines", 200))


def _cancel(said: Arguments) -> list[str]:
    return _words("cancel", said["job"], reason=said.get("reason", "canceled over MCP"))


OBJECT: Schema = {"type": "object"}
LIST: Schema = {"type": "array"}
STRING: Schema = {"type": "string"}
RECORD = {
    "job_id": STRING,
    "state": {"enum": STATES},
    "action": STRING,
    "results_dir": STRING,
    "metrics": OBJECT,
    "artifacts": OBJECT,
}
SPEC = {"skill": STRING, "action": STRING, "spec": OBJECT, "sources": OBJECT, "missing": LIST}
PLAN = {**SPEC, "plan_hash": STRING, "route": OBJECT, "budget": OBJECT, "inputs": LIST, "outputs": LIST, "data": OBJECT}

TOOLS = (
    Tool(
        "list_skills",
        "list",
        "List skills",
        "The skills of the bank, each with what it is for.",
        {},
        (),
        _list,
        {"skills": LIST},
    ),
    Tool(
        "describe",
        "show",
        "Describe a skill, an action or a setting",
        "A skill: its actions, inputs and recipes. With action: every setting with default, bounds and meaning. With setting: "
        "that one. The guide of a skill is the resource skillbank://skills/SKILL/SKILL.md.",
        {"skill": SKILL, "action": ACTION, "setting": _said(TEXT, "One setting by its dotted key; needs action.")},
        ("skill",),
        _describe,
        {},
    ),
    Tool(
        "plan",
        "plan",
        "Plan a job",
        "What submit would do with the same arguments: route, resolved spec with the source of every value, data, budget, and "
        "plan_hash. Starts nothing. Show it to the user before anything is submitted.",
        REQUEST,
        (),
        _request("plan"),
        PLAN,
        leaves=True,
    ),
    Tool(
        "validate",
        "validate",
        "Check a spec",
        "Whether settings are valid, all problems at once; required inputs may still be missing.",
        REQUEST,
        (),
        _request("validate"),
        {"valid": {"const": True}, **SPEC},
        leaves=True,
    ),
    Tool(
        "submit",
        "run",
        "Submit a job",
        "Starts a job in the background and returns at once; the job goes on when this server ends. Give plan (the plan_hash) "
        "to run what was agreed on and nothing else, and job_id so that a repeated call does not start a second job. Follow it "
        "with status.",
        SUBMIT,
        (),
        _request("run", "--detach"),
        RECORD,
        reads_only=False,
        repeats=False,
        leaves=True,
    ),
    Tool(
        "status",
        "status",
        "Status of a job",
        "State, progress, metrics and artifacts of a job; without job, the jobs of the workspace. When a job has ended, its "
        "report is the resource skillbank://jobs/JOB/report.md.",
        {"job": JOB},
        (),
        _status,
        {},
    ),
    Tool(
        "logs",
        "logs",
        "Log of a job",
        "The last lines that a job printed.",
        {"job": JOB, "lines": _said(COUNT, "How many; default 200.")},
        ("job",),
        _logs,
        {"job_id": STRING, "log": STRING, "text": STRING},
    ),
    Tool(
        "cancel",
        "cancel",
        "Cancel a job",
        "Ends a running job; its record and checkpoints stay. May take up to a minute.",
        {"job": JOB, "reason": _said(TEXT, "Kept in the record.")},
        ("job",),
        _cancel,
        RECORD,
        reads_only=False,
        destroys=True,
        repeats=False,
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
WITHOUT_WORKSPACE = ("list", "show")
