"""One skill directory: SKILL.md and references/skill_info.yaml read into a frozen Skill with its Actions.

Knows no jobs and no phrases. Schemas and templates are read when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner import ahead
from runner.errors import Problem, SchemaInvalid, SkillBankError, SpecInvalid, UnknownAction

if TYPE_CHECKING:  # read late, so that listing skills does not wait for them
    from runner.recipe import Recipe
    from runner.schema import ActionSchema

FRONT_MATTER_FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ENTRYPOINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Action(NamedTuple):
    """One thing a skill can do."""

    name: str
    entrypoint: str  # "package.module:function", called with the nested spec
    command: str
    inputs: dict[str, dict[str, Any]]  # spec key -> {type: file|folder, optional: bool}
    outputs: dict[str, dict[str, Any]]
    upload_excludes: tuple[str, ...]
    data_sources: dict[str, dict[str, Any]]
    spec_params: dict[str, str]  # spec key -> inference function
    schema_path: Path
    template_path: Path
    not_run_reason: str  # what a report says of an optional action that was not run
    execution: dict[str, Any]
    environment: dict[str, str]  # of the process that runs it; the user's own values win
    checks: str = ""  # "package.module:function", which says what in a spec contradicts itself; see ``runner.checks``
    control: bool = False  # its function takes a control, which can end it after a validation; see ``runner.backend``


class Skill(NamedTuple):
    """A skill as its files declare it."""

    name: str
    dir: Path
    description: str
    front_matter: dict[str, Any]
    info: dict[str, Any]
    network_arch: str
    automl_enabled: bool
    automl_metric: str
    automl_direction: str
    actions: dict[str, Action]
    shorthand: dict[str, str]
    gpu_spec_key: str
    config_source: str
    version: str
    default_recipes: dict[str, str]  # action -> the recipe that is applied where nothing else is asked for

    def action(self, name: str) -> Action:
        """The action of that name.

        Raises:
            UnknownAction: there is none; lists all there are.
        """
        if name in self.actions:
            return self.actions[name]
        from runner import spec as specs

        near = specs.nearest(name, self.actions)
        meant = f", did you mean {near[0]}?" if near else ""
        known = f"Actions: {', '.join(self.actions)}" if self.actions else "The skill holds instructions only, no actions."
        raise UnknownAction(f"{self.name} has no action {name!r}{meant}", hint=known)

    def schema(self, action: str) -> ActionSchema:
        """The schema of the action's spec, read now."""
        from runner.schema import ActionSchema

        return ActionSchema.load(self.action(action).schema_path)

    def schemas(self) -> dict[str, ActionSchema]:
        """The schemas of all actions that have one."""
        from runner.schema import ActionSchema

        return {name: ActionSchema.load(a.schema_path) for name, a in self.actions.items() if a.schema_path.is_file()}

    def template(self, action: str) -> dict[str, Any]:
        """The spec the action starts from, read now."""
        path = self.action(action).template_path
        if not path.is_file():
            raise SchemaInvalid(f"no spec template {path}", hint="Generate it: skillbank schemas build")
        try:
            known = ahead.content(self.dir / ahead.SPECS, path.read_bytes().decode())
        except (OSError, UnicodeDecodeError):  # said by the reader
            known = None
        if known is not None:
            return known
        from runner import spec as specs

        return specs.read(path)

    def recipes(self, action: str | None = None) -> dict[str, Recipe]:
        """The recipes of the skill, or of one of its actions, by name, read now.

        Raises:
            SchemaInvalid: one of them cannot be read.
        """
        from runner import recipe

        found = [recipe.read(path) for path in sorted((self.dir / recipe.FOLDER).glob("*.yaml"))]
        return {one.name: one for one in found if action in (None, one.action)}

    @property
    def words(self) -> dict[str, Any]:
        """What ``match`` listens for, read now."""
        return words(self.dir)

    def describe(self) -> dict[str, Any]:
        """The skill as plain data: who it is and what its actions take and give."""
        shown = ("inputs", "outputs", "data_sources", "spec_params", "not_run_reason", "entrypoint", "command")
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "dir": str(self.dir),
            "network_arch": self.network_arch,
            "automl_enabled": self.automl_enabled,
            "automl": {"metric": self.automl_metric, "direction": self.automl_direction} if self.automl_enabled else None,
            "actions": {name: {field: getattr(action, field) for field in shown} for name, action in self.actions.items()},
            "spec_shorthand_keys": dict(self.shorthand),
        }

    def packaged(self, action: str) -> bool:
        """Whether schema and template of the action are there and parse."""
        try:
            self.schema(action)
            self.template(action)
        except (SchemaInvalid, SpecInvalid):
            return False
        return True


def front_matter(folder: Path) -> dict[str, Any]:
    """The YAML block at the head of SKILL.md.

    Raises:
        SchemaInvalid: there is no SKILL.md, or no block, or it does not parse.
    """
    return _parsed(head_text(folder), f"the front matter of {folder / 'SKILL.md'}", folder)


def head_text(folder: Path) -> str:
    """The same as text; raises as ``front_matter``."""
    path = folder / "SKILL.md"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SchemaInvalid(f"{folder} is not a skill: it has no SKILL.md") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaInvalid(f"{path} cannot be read: {error}") from None
    head = re.match(r"---[ \t]*\n(.*?)^---[ \t]*$", text.replace("\r\n", "\n"), re.DOTALL | re.MULTILINE)
    if head is None:
        raise SchemaInvalid(f"{path} does not begin with front matter between two lines of ---")
    return head.group(1)


def info(folder: Path) -> dict[str, Any]:
    """The facts in references/skill_info.yaml; empty without the file.

    Raises:
        SchemaInvalid: it does not parse.
    """
    return _facts(folder / "references" / "skill_info.yaml", folder)


def words(folder: Path) -> dict[str, Any]:
    """What ``match`` listens for: references/match.yaml; empty without the file.

    Raises:
        SchemaInvalid: it does not parse, or is not made of lists of patterns.
    """
    path = folder / "references" / "match.yaml"
    heard = _facts(path, folder)
    lists = {**heard, **{f"actions.{name}": one for name, one in _mapping(heard.get("actions")).items()}}
    lists.pop("actions", None)
    wrong = [n for n, one in lists.items() if not (isinstance(one, list) and all(isinstance(p, str) and p for p in one))]
    wrong += ["actions"] if not isinstance(heard.get("actions", {}), dict) else []
    if wrong:
        raise SchemaInvalid(f"{path} is broken:", problems=[Problem(name, "is not a list of patterns") for name in wrong])
    return heard


def load(folder: str | Path) -> Skill:
    """Read a skill directory. Without references/skill_info.yaml the skill has instructions only.

    Raises:
        SchemaInvalid: with everything that is wrong with its files.
    """
    folder = Path(folder).resolve()
    head = front_matter(folder)
    facts = info(folder)
    problems = [*front_matter_problems(head, folder.name), *info_problems(facts, folder.name)]
    if problems:
        raise SchemaInvalid(f"the skill {folder.name} is broken:", problems=problems)
    automl = facts.get("automl", {})
    return Skill(
        name=folder.name,
        dir=folder,
        description=" ".join(str(head["description"]).split()),
        front_matter=head,
        info=facts,
        network_arch=facts.get("network_arch", ""),
        automl_enabled=bool(facts.get("automl_enabled", False)),
        automl_metric=automl.get("metric", "val_loss"),
        automl_direction=automl.get("direction", "minimize"),
        actions={name: _action(folder, facts, name) for name in facts.get("actions", {})},
        shorthand=dict(facts.get("spec_shorthand_keys", {})),
        gpu_spec_key=facts.get("gpu_spec_key", ""),
        config_source=facts.get("config_source", ""),
        version=str(facts.get("version") or head.get("metadata", {}).get("version", "")),
        default_recipes={
            action: rule["default"]
            for action, rule in facts.get("recipes", {}).items()
            if isinstance(rule, dict) and isinstance(rule.get("default"), str)
        },
    )


def front_matter_problems(head: Mapping[str, Any], folder_name: str) -> list[Problem]:
    """What the Agent Skills specification finds wrong with the front matter; see schemas/frontmatter.schema.json."""
    rules = [
        (head.get("name") == folder_name, "name", f"{head.get('name')!r} is not the folder's name", folder_name),
        (_is_name(head.get("name")), "name", "is not a skill name", "at most 64 of a-z, 0-9 and single hyphens"),
        (_is_text(head.get("description"), 1024), "description", "is missing or too long", "1 to 1024 characters"),
        ("<" not in str(head.get("description", "")), "description", "holds '<'", "plain text"),
        (_is_text(head.get("license", "-"), 500), "license", "is not a text", "a licence name"),
        (_is_text(head.get("compatibility", "-"), 500), "compatibility", "is not a text", "1 to 500 characters"),
        (isinstance(head.get("metadata", {}), dict), "metadata", "is not a mapping", "names and texts"),
    ]
    problems = [Problem(f"SKILL.md {path}", says, allowed) for fine, path, says, allowed in rules if not fine]
    fields = ", ".join(FRONT_MATTER_FIELDS)
    return problems + [Problem(f"SKILL.md {key}", "no such field", fields) for key in head if key not in FRONT_MATTER_FIELDS]


def info_problems(facts: Mapping[str, Any], folder_name: str) -> list[Problem]:
    """What a skill_info.yaml lacks to be used at all; schemas/skill_info.schema.json says all it may hold."""
    if not facts:
        return []
    problems = []
    if facts.get("name") != folder_name:
        problems.append(Problem("skill_info name", f"{facts.get('name')!r} is not the folder's name", folder_name))
    actions = facts.get("actions", {})
    maps = "actions automl data_sources spec_params spec_shorthand_keys spec_templates recipes series"
    problems += [Problem(f"skill_info {n}", "is not a mapping") for n in maps.split() if not isinstance(facts.get(n, {}), dict)]
    if problems or not actions:
        return problems
    if not facts.get("network_arch"):
        problems.append(Problem("skill_info network_arch", "is missing; job ids begin with it"))
    for name, action in actions.items():
        entrypoint = action.get("entrypoint") if isinstance(action, dict) else None
        if not isinstance(entrypoint, str) or not _ENTRYPOINT.fullmatch(entrypoint):
            problems.append(Problem(f"skill_info actions.{name}.entrypoint", f"is {entrypoint!r}", "package.module:function"))
    return problems


def _action(folder: Path, facts: Mapping[str, Any], name: str) -> Action:
    own = facts["actions"][name]
    template = facts.get("spec_templates", {}).get(name, f"references/spec_template_{name}.yaml")
    return Action(
        name=name,
        entrypoint=own["entrypoint"],
        command=own.get("command", ""),
        inputs=dict(own.get("inputs") or {}),
        outputs=dict(own.get("outputs") or {}),
        upload_excludes=tuple(own.get("upload_excludes") or ()),
        data_sources=dict(facts.get("data_sources", {}).get(name) or {}),
        spec_params=dict(facts.get("spec_params", {}).get(name) or {}),
        schema_path=folder / "schemas" / f"{name}.schema.json",
        template_path=folder / template,
        not_run_reason=own.get("not_run_reason", ""),
        execution=dict(own.get("execution") or {}),
        environment={name: str(value) for name, value in (own.get("environment") or {}).items()},
        checks=own.get("checks", ""),
        control=bool(own.get("control", False)),
    )


def _facts(path: Path, folder: Path) -> dict[str, Any]:
    """A YAML file of the skill; empty where there is none."""
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path), folder)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaInvalid(f"{path} cannot be read: {error}") from None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _parsed(text: str, source: str, folder: Path) -> dict[str, Any]:
    """YAML of the bank's own, parsed ahead or now; dotted keys are its spec keys and allowed at any level."""
    known = ahead.content(folder / ahead.FACTS, text)
    if known is not None:
        return known
    try:
        from runner import spec as specs

        return specs.parse(text, source=source, dots=True)
    except SkillBankError as error:
        raise SchemaInvalid(error.message, problems=error.problems) from None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 64 and bool(_NAME.fullmatch(value))


def _is_text(value: object, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= limit
