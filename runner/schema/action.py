"""One action's JSON Schema, and the parting of a spec that serves several actions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from runner import spec as specs
from runner.errors import Problem, SchemaInvalid, SpecInvalid
from runner.schema import accept, space, values, words
from runner.schema.space import Parameter, Wish
from runner.schema.tao import from_tao, is_tao
from runner.schema.words import Leaf


class ActionSchema:
    """A JSON Schema (2020-12) of one action's spec, with the bank's annotations."""

    def __init__(self, document: Mapping[str, Any], *, source: str = "the schema") -> None:
        """Take a parsed schema, in the standard form or in TAO's dialect.

        Raises:
            SchemaInvalid: it is no schema of a spec.
        """
        if not isinstance(document, Mapping) or not isinstance(document.get("properties"), Mapping):
            raise SchemaInvalid(f"{source} is not the schema of a spec: it has no properties")
        self.document: dict[str, Any] = from_tao(document) if is_tao(document) else dict(document)
        self.source = source
        self._leaves: dict[str, Leaf] | None = None
        self._validator: Any = None

    @classmethod
    def load(cls, path: str | Path) -> ActionSchema:
        """Read a schema file. NaN and Infinity are tolerated in TAO's dialect only.

        Raises:
            SchemaInvalid: missing, not JSON, or no schema of a spec.
        """
        import json

        odd: list[str] = []

        def constant(word: str) -> float:
            odd.append(word)
            return float(word.replace("Infinity", "inf"))

        try:
            document = json.loads(Path(path).read_bytes(), parse_constant=constant)
        except FileNotFoundError:
            raise SchemaInvalid(f"no schema {path}", hint="Generate it: skillbank schemas build") from None
        except (OSError, ValueError, RecursionError) as error:
            raise SchemaInvalid(f"{path} does not parse: {error}", hint="Generate it: skillbank schemas build") from None
        if odd and not (isinstance(document, dict) and is_tao(document)):
            raise SchemaInvalid(f"{path} is not JSON: it holds {odd[0]}")
        return cls(document, source=str(path))

    @property
    def action(self) -> str:
        """The action the schema is of, where it says so."""
        return str(self.document.get("x_tao_schema", {}).get("action", ""))

    def defaults(self) -> dict[str, Any]:
        """The spec with every setting at its default, a fresh nested dict."""
        return {key: specs.copied(value) for key, value in self.document.get("default", {}).items()}

    def sections(self) -> list[str]:
        """The names at the top level."""
        return list(self.document["properties"])

    def leaves(self) -> dict[str, Leaf]:
        """Dotted key to the schema of its setting; an open map (such as the label map) is one setting."""
        if self._leaves is None:
            self._leaves = dict(_leaves(self.document, ""))
        return self._leaves

    def leaf(self, key: str) -> dict[str, Any]:
        """The schema of one setting.

        Raises:
            SpecInvalid: there is none of that name.
        """
        if key not in self.leaves():
            raise SpecInvalid(f"{self.action or self.source} has no such setting:", problems=[self._unknown(key)])
        return dict(self.leaves()[key])

    def map_leaves(self) -> set[str]:
        """The settings that are open maps and are replaced whole."""
        return {key for key, leaf in self.leaves().items() if words.types_of(leaf) & {"object"}}

    def secrets(self) -> set[str]:
        """The settings that are never shown."""
        return {key for key, leaf in self.leaves().items() if leaf.get("writeOnly")}

    def is_file(self, key: str, value: object) -> bool:
        """Whether the value of a setting is a path and not one of its names; where the schema is silent, it is."""
        return words.is_file(self.leaves().get(key, {}), value)

    def is_choice(self, key: str) -> bool:
        """Whether the setting is one of a few words, or a switch."""
        leaf = self.leaves().get(key, {})
        return bool(words.choices_of(leaf)) or "boolean" in words.types_of(leaf)

    def idle(self, key: str, spec: Mapping[str, Any]) -> str:
        """Why the setting has no effect beside the other values of ``spec``; empty when it has."""
        return space.idle(self.leaves().get(key, {}), spec)

    def coerce(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the spec with each value as its setting means it; what is wrong stays, for ``problems`` to name.

        16.0 becomes the integer 16. A whole number given for a text becomes text. ``on``/``off``, which YAML reads as
        booleans, become the one word of that meaning among a setting's choices.
        """
        coerced = {key: specs.copied(value) for key, value in spec.items()}
        for key, leaf in self.leaves().items():
            if specs.has(coerced, key):
                specs.set_(coerced, key, values.coerce(specs.get(coerced, key), leaf))
        return coerced

    def problems(self, spec: Mapping[str, Any]) -> list[Problem]:
        """Everything wrong with the spec, in the order of the schema; empty when it is valid."""
        found: list[Problem] = []
        safe = values.finite(dict(spec), "", found)
        if not accept.accepts(self.document, safe):
            for error in self._engine().iter_errors(safe):
                found.extend(self._found(error))
        once: dict[str, Problem] = {}  # one of each place: a value of the wrong type is a wrong choice too
        for problem in found:
            once.setdefault(problem.path, problem)
        order = {key: i for i, key in enumerate(self.leaves())}
        return sorted(once.values(), key=lambda p: order.get(p.path.partition("[")[0], len(order)))

    def check(self, spec: Mapping[str, Any], what: str = "the spec") -> None:
        """Raise SpecInvalid with all problems, if there are any."""
        if found := self.problems(spec):
            raise SpecInvalid(f"{what} is not valid:", problems=found)

    def search_space(
        self,
        spec: Mapping[str, Any],
        requested: Collection[str] | None = None,
        excluded: Collection[str] = (),
        *,
        beside: Mapping[str, Wish | None] | None = None,
        vain: Mapping[str, str] | None = None,
    ) -> tuple[list[Parameter], list[tuple[str, str]]]:
        """The settings a search varies, given the other values of ``spec``, and those left out with the reason.

        ``requested`` narrows or replaces the schema's ``automl_default_parameters``, ``beside`` adds to either, or says
        otherwise how to vary what is there. ``vain`` are settings without effect, with the reason. Settings that depend on
        another come last.

        Raises:
            SpecInvalid: a requested or excluded key that is no setting at all.
        """
        beside, vain = beside or {}, vain or {}
        wanted = [*(self.document.get("automl_default_parameters", []) if requested is None else requested), *beside]
        unknown = [self._unknown(key) for key in [*wanted, *excluded] if key not in self.leaves()]
        if unknown:
            raise SpecInvalid("the search names settings that do not exist:", problems=unknown)
        parameters: list[Parameter] = []
        left_out: list[tuple[str, str]] = []
        for key in dict.fromkeys(wanted):
            leaf, reason = space.wished(self.leaves()[key], beside.get(key), spec)
            value = specs.get(spec, key, leaf.get("default"))
            reason = (
                "excluded on request" if key in excluded else reason or space.reason_left_out(leaf, spec) or vain.get(key, "")
            )
            parameter = None if reason else space.parameter(key, leaf, value)
            if parameter is None:
                left_out.append((key, reason or "it has no finite search range"))
            else:
                parameters.append(parameter)
        searched = {parameter.key for parameter in parameters}
        parameters = [space.bounded(parameter, self.leaves(), spec, searched) for parameter in parameters]
        return sorted(parameters, key=lambda p: p.depends_on is not None), left_out

    def _engine(self) -> Any:
        if self._validator is None:
            import jsonschema_rs

            try:
                self._validator = jsonschema_rs.Draft202012Validator(self.document)
            except ValueError as error:
                raise SchemaInvalid(f"{self.source} is not a JSON Schema: {str(error).splitlines()[0]}") from None
        return self._validator

    def _found(self, error: Any) -> Iterator[Problem]:
        """One error of the engine; for unknown keys one problem each."""
        where = list(error.instance_path)
        if error.kind.name == "additionalProperties":
            yield from (self._unknown(words.dotted([*where, name])) for name in error.kind.unexpected)
        else:
            yield words.explain(self.document, where, error.kind, error.instance)

    def _unknown(self, key: str) -> Problem:
        return words.unknown(self.document, key, self.leaves())


def split_sections(
    spec: Mapping[str, Any], action: str, schemas: Mapping[str, ActionSchema]
) -> tuple[dict[str, Any], dict[str, Any], list[Problem]]:
    """Part a spec that serves several actions, as TAO's do: (this action's own, set aside, problems of what is aside).

    A top-level section that is not this action's but a sibling's is checked against the sibling and set aside. All
    else, misspelt sections included, stays in the first part for ``problems`` to judge.
    """
    own_names = set(schemas[action].sections())
    own, aside, problems = {}, {}, []
    for name, value in spec.items():
        sibling = next((s for a, s in schemas.items() if a != action and name in s.sections()), None)
        if name in own_names or sibling is None:
            own[name] = value
        else:
            aside[name] = value
            problems.extend(sibling.problems(sibling.coerce({name: value})))
    return own, aside, problems


def _leaves(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Leaf]]:
    for name, below in node["properties"].items():
        if "properties" in below:
            yield from _leaves(below, f"{path}{name}.")
        else:
            yield f"{path}{name}", below
