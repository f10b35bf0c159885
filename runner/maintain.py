"""For maintainers: the config dataclasses of a skill -> JSON Schemas, spec templates and manifest; and the comparison.

The dataclasses are found by the string ``config_source`` of skill_info.yaml; nothing of the trainer is imported here.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import importlib
import json
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner import backend, bank, checks, infer, recipe, spec
from runner.errors import Problem, SchemaInvalid, SkillBankError
from runner.schema import ActionSchema
from runner.skill import Skill

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}
_ANNOTATIONS = ("automl_range", "automl_scale", "automl_when", "option_weights", "math_cond", "depends_on")
_SEARCHED = "train"  # the one action whose settings a search varies
_REBUILD = "run: skillbank schemas build"


def build(skill: Skill) -> list[Path]:
    """Write the schemas, templates and manifest of a skill, each whole; the files, in the order written.

    Raises:
        SchemaInvalid: the skill's facts and its config do not fit together.
    """
    files = generate(skill)
    for path, text in files.items():
        _write(path, text)
    return list(files)


def check(skill: Skill) -> list[str]:
    """What differs between the skill's files and what its config and the bank's contracts say; empty when all is well."""
    differences: list[str] = []
    try:
        files = generate(skill)
    except SkillBankError as error:
        return str(error).splitlines()
    for path, text in files.items():
        differences += _differences(skill, path, text)
    expected = {path.name for path in files}
    for stray in sorted((skill.dir / "schemas").glob("*.json")):
        if stray.name not in expected:
            differences.append(f"schemas/{stray.name}: no action of that name; remove it")
    return differences + _contract_breaks(skill) + _control_breaks(skill) + _final_breaks(skill) + _recipe_breaks(skill)


def generate(skill: Skill) -> dict[Path, str]:
    """The generated files of a skill as path -> text; none for a skill without actions.

    Raises:
        SchemaInvalid: see ``build``.
    """
    if not skill.actions:
        return {}
    configs = _configs(skill)
    documents = {name: action_schema(skill, name, configs[name]) for name in skill.actions}
    if problems := list(_loose_ends(skill, documents)):
        raise SchemaInvalid(f"the skill_info.yaml of {skill.name} does not fit its config:", problems=problems)
    files = {}
    for name, document in documents.items():
        files[skill.action(name).schema_path] = _json(document)
        files[skill.action(name).template_path] = _template(document)
    files[skill.dir / "schemas" / "manifest.json"] = _json(_manifest(skill, documents, files))
    return files


def action_schema(skill: Skill, action: str, config: type) -> dict[str, Any]:
    """The JSON Schema of one action's spec, from its dataclass."""
    node = _section(config)
    schema = ActionSchema(node)
    searched = [key for key, leaf in schema.leaves().items() if leaf["automl_enabled"]]
    fixed = [key for key in schema.leaves() if key not in searched]
    popular: dict[str, Any] = {}
    for key, leaf in schema.leaves().items():
        if leaf.get("popular"):
            spec.set_(popular, key, leaf["default"])
    return {
        "$schema": _DIALECT,
        "title": f"{skill.network_arch} {action}",
        "description": (config.__doc__ or "").strip().replace("``", "`"),
        "type": "object",
        "properties": node["properties"],
        "additionalProperties": False,
        "required": [],
        "default": node["default"],
        "popular": popular,
        "automl_default_parameters": sorted(searched) if action == _SEARCHED else [],
        "automl_disabled_parameters": sorted(fixed) if action == _SEARCHED else [],
        "x_tao_schema": {
            "schema_version": 1,
            "model": skill.name,
            "network_arch": skill.network_arch,
            "action": action,
            "schema_action": action,
            "core_module": config.__module__,
            "source": f"{config.__module__}:{config.__qualname__}",
        },
    }


def _configs(skill: Skill) -> Mapping[str, type]:
    module, _, name = skill.config_source.partition(":")
    try:
        configs = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SchemaInvalid(f"{skill.name}: config_source {skill.config_source!r} cannot be read: {error}") from None
    if set(configs) != set(skill.actions):
        raise SchemaInvalid(
            f"{skill.name}: skill_info.yaml has the actions {', '.join(skill.actions)}; {skill.config_source} has "
            f"{', '.join(configs)}"
        )
    return dict(configs)


def _section(cls: Any) -> dict[str, Any]:
    """A dataclass as an object schema with its default."""
    hints = typing.get_type_hints(cls)
    properties = {}
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[field.name]):
            node = _section(hints[field.name])
            properties[field.name] = {"description": field.metadata["description"], **node}
        else:
            properties[field.name] = _leaf(hints[field.name], field)
    default = {name: node["default"] for name, node in properties.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False, "default": default}


def _leaf(hint: Any, field: dataclasses.Field[Any]) -> dict[str, Any]:
    """A setting as a schema: what is valid, then the annotations beside it, only those that are set."""
    said = collections.defaultdict(lambda: None, field.metadata)
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    leaf: dict[str, Any] = {"title": said["title"] or _title(field.name)}
    leaf |= {"description": said["description"], **(_name_or_file(said) if said["choices"] else _value(hint))}
    leaf |= {name: said[name] for name in ("minimum", "maximum") if said[name] is not None}
    if said["map_value"]:
        values = typing.get_args(hint)[1]
        leaf |= {"additionalProperties": _value(values) | ({"minimum": 0} if values is int else {}), "x-replace": True}
    leaf["default"] = list(default) if isinstance(default, tuple) else default
    leaf["automl_enabled"] = bool(said["automl_enabled"])
    leaf |= {name: said[name] for name in _ANNOTATIONS if said[name] is not None}
    leaf |= {name: True for name in ("popular", "parent_param") if said[name]}
    return leaf | ({"writeOnly": True} if said["secret"] else {})


def _name_or_file(said: Mapping[str, Any]) -> dict[str, Any]:
    """A text that is one of the names, or a path ending in one of the suffixes."""
    suffixes = said["file_suffixes"]
    pattern = f"({'|'.join(re.escape(suffix) for suffix in suffixes)})$"
    ending = f"a path ending in {', '.join(suffixes)}"
    names = {"type": "string", "enum": list(said["choices"])}
    return {"anyOf": [names, {"type": "string", "pattern": pattern, "description": ending}]}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _value(hint: Any) -> dict[str, Any]:
    """The type of a setting as JSON Schema."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return {"anyOf": [_value(inner), {"type": "null"}]}
    if origin is typing.Literal:
        return {"type": _TYPES[type(arguments[0])], "enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0])}
    if origin is dict:
        return {"type": "object"}
    return {"type": _TYPES[hint]}


def _manifest(skill: Skill, documents: Mapping[str, dict[str, Any]], files: Mapping[Path, str]) -> dict[str, Any]:
    actions: dict[str, Any] = {}
    for name, document in documents.items():
        action = skill.action(name)
        actions[name] = {
            "path": action.schema_path.relative_to(skill.dir).as_posix(),
            "spec_template": action.template_path.relative_to(skill.dir).as_posix(),
            "sha256": {"schema": _digest(files[action.schema_path]), "template": _digest(files[action.template_path])},
            **{key: document["x_tao_schema"][key] for key in ("core_module", "schema_action")},
            **{key: document[key] for key in ("automl_default_parameters", "automl_disabled_parameters", "popular")},
        }
    return {
        "schema_version": 1,
        "model": skill.name,
        "network_arch": skill.network_arch,
        "automl_enabled": skill.automl_enabled,
        "failures": {},
        "actions": actions,
    }


def _loose_ends(skill: Skill, documents: Mapping[str, dict[str, Any]]) -> Iterator[Problem]:
    """Spec keys and inference functions that skill_info.yaml names and that do not exist."""
    leaves = {name: set(ActionSchema(document).leaves()) for name, document in documents.items()}
    everything = set().union(*leaves.values())
    for name, action in skill.actions.items():
        for what in ("inputs", "outputs", "spec_params", "data_sources"):
            for key in getattr(action, what):
                if key not in leaves[name]:
                    yield Problem(f"{what}.{name}.{key}", "no such setting", ", ".join(spec.nearest(key, leaves[name])))
        for key, function in action.spec_params.items():
            if function.partition(",")[0] not in infer.INFERENCES:
                yield Problem(f"spec_params.{name}.{key}", f"no inference {function!r}", ", ".join(infer.INFERENCES))
    for short, key in skill.shorthand.items():
        if key not in everything:
            yield Problem(f"spec_shorthand_keys.{short}", f"{key} is no setting", ", ".join(spec.nearest(key, everything)))


def _contract_breaks(skill: Skill) -> list[str]:
    """Where the skill's files break the bank's contracts."""
    import jsonschema_rs

    documents: list[tuple[str, str, Any]] = [("SKILL.md", "frontmatter", skill.front_matter)]
    if skill.info:
        documents.append(("references/skill_info.yaml", "skill_info", skill.info))
    heard, breaks = _words(skill)
    if heard:
        documents.append(("references/match.yaml", "match", heard))
    files = {"schemas/manifest.json": "manifest", "evals/evals.json": "evals"}
    files |= {action.schema_path.relative_to(skill.dir).as_posix(): "action_schema" for action in skill.actions.values()}
    for name, contract in files.items():
        try:
            documents.append((name, contract, json.loads((skill.dir / name).read_bytes())))
        except FileNotFoundError:
            continue  # what has to be there is generated, and missed there
        except ValueError as error:
            breaks.append(f"{name}: does not parse: {error}")
    for name, contract, document in documents:
        errors = jsonschema_rs.Draft202012Validator(bank.contract(contract)).iter_errors(document)
        breaks += [f"{name}: {'.'.join(map(str, e.instance_path))}: {e.message}" for e in errors]
    return breaks


def _control_breaks(skill: Skill) -> list[str]:
    """Actions whose function does not take the control that skill_info.yaml says, or takes one that it does not say."""
    breaks = []
    for name, action in skill.actions.items():
        takes = backend.takes_control(action.entrypoint)
        if takes is not None and takes != action.control:
            has = f"{action.entrypoint} has {'a' if takes else 'no'} parameter named control"
            breaks.append(f"references/skill_info.yaml: actions.{name}.control: is {str(action.control).lower()}, and {has}")
    return breaks


def _final_breaks(skill: Skill) -> list[str]:
    """An evaluation at the end of a search that names no action of the skill, or one that takes no checkpoint."""
    told = (skill.info.get("automl") or {}).get("final")
    if not isinstance(told, dict):
        return []
    action = skill.actions.get(str(told.get("action")))
    takes = action and any(function.startswith("parent_model") for function in action.spec_params.values())
    if takes:
        return []
    fitting = [n for n, a in skill.actions.items() if any(f.startswith("parent_model") for f in a.spec_params.values())]
    says = "takes no checkpoint of a parent" if action else "no such action"
    return [f"references/skill_info.yaml: automl.final.action: {told.get('action')}: {says}; allowed: {', '.join(fitting)}"]


def _words(skill: Skill) -> tuple[dict[str, Any], list[str]]:
    """What ``match`` listens for, and what is wrong with it."""
    try:
        heard = skill.words
    except SchemaInvalid as error:
        return {}, str(error).splitlines()
    unknown = [name for name in heard.get("actions", {}) if name not in skill.actions]
    return heard, [f"references/match.yaml: actions.{name}: no such action" for name in unknown]


def _recipe_breaks(skill: Skill) -> list[str]:
    """Recipes that cannot be read, do not fit the schema of their action, or are named as a default and not there."""
    breaks: list[str] = []
    found: dict[str, recipe.Recipe] = {}
    for path in sorted((skill.dir / recipe.FOLDER).glob("*")):
        name = path.relative_to(skill.dir).as_posix()
        try:
            if path.suffix != ".yaml":
                raise SchemaInvalid("a recipe is a file NAME.yaml")
            one = found[path.stem] = recipe.read(path)
            if one.action not in skill.actions:
                raise SchemaInvalid(f"no action {one.action!r}; allowed: {', '.join(skill.actions)}")
            schema = skill.schema(one.action)
            wrong = recipe.problems(one, schema) or checks.whole(skill.actions[one.action], one, schema)
            breaks += [f"{name}: {problem}" for problem in wrong]
        except SkillBankError as error:
            breaks += [f"{name}: {line}" for line in ([str(p) for p in error.problems] or [error.message])]
    for action, default in skill.default_recipes.items():
        if default not in found or found[default].action != action:
            near = ", ".join(found) or "there are none"
            breaks.append(f"references/skill_info.yaml: recipes.{action}.default: no recipe {default!r} of {action}; {near}")
    return breaks


def _differences(skill: Skill, path: Path, text: str) -> list[str]:
    name = path.relative_to(skill.dir).as_posix()
    if not path.is_file():
        return [f"{name}: missing; {_REBUILD}"]
    there = path.read_text(encoding="utf-8")
    if there == text:
        return []
    try:
        old, new = (_flat(path, version) for version in (there, text))
    except ValueError:
        return [f"{name}: does not parse; {_REBUILD}"]
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key, _NOTHING) != new.get(key, _NOTHING)]
    shown = [f"{key} is {old.get(key, _NOTHING)}, the config says {new.get(key, _NOTHING)}" for key in changed[:3]]
    more = [f"and {len(changed) - 3} more"] if len(changed) > 3 else []
    return [f"{name}: {'; '.join([*shown, *more]) or 'laid out differently'}; {_REBUILD}"]


class _Nothing:
    def __repr__(self) -> str:
        return "absent"


_NOTHING = _Nothing()


def _flat(path: Path, text: str) -> dict[str, Any]:
    try:
        return spec.flatten(json.loads(text) if path.suffix == ".json" else spec.parse(text))
    except SkillBankError as error:
        raise ValueError(str(error)) from None


def _template(document: Mapping[str, Any]) -> str:
    source = document["x_tao_schema"]["source"]
    head = f"# Generated from {source} by `skillbank schemas build`; change it there. It equals the schema's default.\n"
    return head + spec.write(document["default"])


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        whole.write_text(text, encoding="utf-8")
        os.replace(whole, path)
    finally:
        whole.unlink(missing_ok=True)
