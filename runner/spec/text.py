"""A spec as text: files and overrides in, YAML out. Nothing read here is executed."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.errors import Problem, SpecInvalid, UsageError
from runner.spec.tree import Spec

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_HEX = re.compile(r"[-+]?0x[0-9a-fA-F_]+")
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9][0-9_]*)?\.[0-9][0-9_]*|[0-9][0-9_]*\.?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value")
)
_MAX_NODES, _MAX_DEPTH, _MAX_DIGITS = 100_000, 40, 400


def read(path: str | Path, *, maps: Collection[str] = ()) -> Spec:
    """Read a spec file, YAML or (by its suffix) JSON, into a nested dict.

    ``on``/``off``/``yes``/``no`` are booleans and ``1e-3`` is a number; quoted text stays text. ``maps`` names settings
    that are open maps (such as ``dataset.label_map``), whose keys may hold dots.

    Raises:
        SpecInvalid: the file is missing or unreadable, or with all of: duplicate keys, dotted keys, tags, NaN, infinity.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecInvalid(f"no such spec file: {path}") from None
    except IsADirectoryError:
        raise SpecInvalid(f"{path} is a folder; a spec is a YAML or JSON file") from None
    except UnicodeDecodeError as error:
        raise SpecInvalid(f"{path} is not UTF-8 text (byte {error.start}); a spec is a YAML or JSON file") from None
    except OSError as error:
        raise SpecInvalid(f"{path} cannot be read: {error.strerror}") from None
    return parse(text, source=str(path), maps=maps, as_json=path.suffix.lower() == ".json")


def parse(
    text: str, *, source: str = "the spec", maps: Collection[str] = (), dots: bool = False, as_json: bool = False
) -> Spec:
    """Read the text of a spec; see ``read``. ``source`` names it in messages; ``dots`` lets any key hold dots."""
    reader = _Reader(source, maps, dots=dots)
    value = reader.json(text) if as_json else reader.yaml(text)
    if not reader.problems and not isinstance(value, dict):
        reader.problems.append(Problem("", f"holds {_kind(value)}", "a mapping of sections, such as train: {num_epochs: 3}"))
    if reader.problems:
        raise SpecInvalid(f"{source} cannot be used as a spec:", problems=reader.problems)
    return dict(value)


def write(spec: Mapping[str, Any]) -> str:
    """The spec as YAML text, in the order of the dict: sections in blocks, lists on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        looks_typed = not isinstance(plain(value), str) or bool(_NOT_FINITE.fullmatch(value))
        style = "'" if looks_typed else None if value.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def row(dumper: yaml.SafeDumper, value: Iterable[Any]) -> yaml.Node:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)

    Dumper.add_representer(str, text)
    Dumper.add_representer(list, row)
    Dumper.add_representer(tuple, row)
    return yaml.dump(dict(spec), Dumper=Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=128)


def plain(text: str) -> Any:
    """What an unquoted YAML word means to a person: null, a boolean, a number, else the text itself.

    ``1e-3`` is a number. ``010`` (octal to some readers) and ``1:30`` stay text. NaN and infinity stay text here; the
    readers of whole specs refuse them.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _HEX.fullmatch(text):
        return int(text.replace("_", ""), 16)
    if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit():
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def parse_value(text: str) -> Any:
    """The value of an override: a YAML word, a ``[list]``, a ``{map}`` or quoted text; all else is text as it stands.

    ``{a:0}`` without a space means a map too, as on TAO's command line; nothing at all is the empty text.

    Raises:
        UsageError: a list, map or quoted text that does not end, or that holds NaN, infinity or a tag.
    """
    stripped = text.strip()
    if not stripped:
        return ""
    if stripped[0] not in "[{'\"":
        if _NOT_FINITE.fullmatch(stripped):
            raise UsageError(f"{stripped} is not a finite number")
        return plain(stripped)
    reader = _Reader("the value", (), dots=True)
    value = reader.yaml(re.sub(r"([{,][^{},:'\"]+):(?=[^\s{}\[\],/])", r"\1: ", stripped))
    if reader.problems:
        raise UsageError(f"{text} is not a value:", problems=reader.problems)
    return value


def as_text(value: Any) -> str:
    """A value as ``parse_value`` reads it back: a text as it stands where that is enough, all else as JSON."""
    if isinstance(value, str):
        try:
            if parse_value(value) == value:
                return value
        except UsageError:
            pass
    import json  # not needed to read a spec

    return json.dumps(value, ensure_ascii=False)


def parse_override(text: str) -> tuple[str, Any]:
    """``a.b=value`` as (dotted key, value).

    Raises:
        UsageError: there is no ``=`` or no key.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key or not all(key.split(".")):
        raise UsageError(f"{text!r} is not an override", hint="An override is key=value, such as train.optim.lr=0.01.")
    try:
        return key, parse_value(value)
    except UsageError as error:
        raise UsageError(f"{key}: {error.message}", problems=error.problems) from None


def expand_shorthand(overrides: Iterable[tuple[str, Any]], mapping: Mapping[str, str]) -> list[tuple[str, Any]]:
    """Overrides with short names (``num_epochs``) replaced by the dotted keys they stand for, in the order given.

    Raises:
        UsageError: a setting is given under both its names, with different values.
    """
    expanded: list[tuple[str, Any]] = []
    first: dict[str, tuple[str, Any]] = {}
    problems = []
    for name, value in overrides:
        key = mapping.get(name, name)
        other, there = first.setdefault(key, (name, value))
        if other != name and there != value:
            problems.append(Problem(key, f"given twice, {other}={there!r} and {name}={value!r}", "one of the two"))
        expanded.append((key, value))
    if problems:
        raise UsageError("the overrides contradict each other:", problems=problems)
    return expanded


class _Reader:
    """One text on its way to plain data; what is wrong is collected, so that all of it is said at once."""

    def __init__(self, source: str, maps: Collection[str], *, dots: bool = False) -> None:
        self.source, self.maps, self.dots = source, frozenset(maps), dots
        self.problems: list[Problem] = []
        self.nodes = 0

    def yaml(self, text: str) -> Any:
        import yaml

        try:
            root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            self.problems.append(Problem("", f"{where}{error.problem or error.context}"))
            return {}
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self.problems.append(Problem("", f"not readable as YAML: {str(error).splitlines()[0]}"))
            return {}
        return {} if root is None else self._node(root, "", 0)

    def _node(self, node: Any, path: str, depth: int) -> Any:
        self.nodes += 1
        line = node.start_mark.line + 1
        if self.nodes > _MAX_NODES or depth > _MAX_DEPTH:
            if self.nodes <= _MAX_NODES + 1:
                self.problems.append(Problem(path, f"line {line}: too large or too deeply nested for a spec"))
                self.nodes = _MAX_NODES + 1  # say it once, and walk no further
            return None
        if node.tag not in _CORE_TAGS:
            self.problems.append(Problem(path, f"line {line}: the tag {_short(node.tag)} is refused", "plain values"))
            return None
        if isinstance(node.value, str):
            return self._scalar(node, path, line)
        if node.tag.endswith(":seq"):
            return [self._node(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
        return self._mapping(node, path, depth)

    def _scalar(self, node: Any, path: str, line: int) -> Any:
        if node.style:
            return node.value
        if _NOT_FINITE.fullmatch(node.value):
            self.problems.append(Problem(path, f"line {line}: {node.value} is not a finite number"))
            return None
        return plain(node.value)

    def _mapping(self, node: Any, path: str, depth: int) -> Spec:
        lines: dict[str, int] = {}
        mapping: Spec = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key, str) or not key or key_node.tag.endswith(":merge"):
                self.problems.append(Problem(path, f"line {line}: a key must be a plain name"))
                continue
            at = f"{path}.{key}" if path else key
            if key in lines:
                self.problems.append(Problem(at, f"given twice, in lines {lines[key]} and {line}", "once"))
            lines[key] = line
            self._dotted(key, path, f"line {line}: ")
            mapping[key] = self._node(value_node, at, depth + 1)
        return mapping

    def _dotted(self, key: str, path: str, where: str) -> None:
        if "." in key and not self.dots and path not in self.maps:
            nested = "".join(f"{name}: {{" for name in key.split("."))[:-1] + "..." + "}" * key.count(".")
            self.problems.append(Problem(path, f"{where}the key {key!r} holds dots", f"the nested form {nested}"))

    def json(self, text: str) -> Any:
        import json

        def pairs(items: list[tuple[str, Any]]) -> Spec:
            names = [name for name, _ in items]
            self.problems.extend(Problem(n, "given twice", "once") for n in dict.fromkeys(names) if names.count(n) > 1)
            return dict(items)

        def refused(word: str) -> None:
            self.problems.append(Problem("", f"{word} is not a finite number"))

        try:
            value = json.loads(text, object_pairs_hook=pairs, parse_constant=refused)
        except json.JSONDecodeError as error:
            self.problems.append(Problem("", f"line {error.lineno}, column {error.colno}: {error.msg}"))
            return {}
        except (ValueError, RecursionError) as error:
            self.problems.append(Problem("", f"not readable as JSON: {error}"))
            return {}
        self._walk(value, "", 0)
        return value

    def _walk(self, value: Any, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self.problems.append(Problem(path, "too deeply nested for a spec"))
        elif isinstance(value, float) and not math.isfinite(value):
            self.problems.append(Problem(path, "not a finite number"))
        elif isinstance(value, dict):
            for key, below in value.items():
                self._dotted(key, path, "")
                self._walk(below, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list):
            for i, below in enumerate(value):
                self._walk(below, f"{path}[{i}]", depth + 1)


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _kind(value: object) -> str:
    return {list: "a list", str: "one text", type(None): "nothing"}.get(type(value), f"one {type(value).__name__}")
