"""What an answer says is wrong, in the words of tools: options are arguments there, and verbs are tools.

``next`` is left alone: it holds command lines, and clients are told so.
"""

from __future__ import annotations

import re
from typing import Any

from runner.mcp.tools import TOOLS

ARGUMENTS = {name for tool in TOOLS for name in tool.arguments}
VERBS = {tool.verb: tool.name for tool in TOOLS} | {"jobs": "status", "wait": "status", "report": "the report of a job"}
# What is called otherwise, the longest first.
OTHERS = (
    (r"--workspace(?: DIR)?", "the --workspace that the server is started with"),
    (r"--budget (?=trials|epochs|time)", ""),
    (r"--budget", "trials, epochs or time"),
    (r"--set(?= |$)", "settings"),
    (r"--path(?= |$|:)", "setting"),
    (r" --help\b", ""),
)
_COMMAND = re.compile(r"\bskillbank ([a-z]+)\b(?! bank)")
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


def fit(told: dict[str, Any]) -> dict[str, Any]:
    """An envelope, its error and warnings in the words of tools."""
    error = told.get("error")
    said: dict[str, Any] = {"warnings": [text(line) for line in told["warnings"]]}
    if error:
        problems = [{key: text(value) for key, value in one.items()} for one in error.get("problems") or ()]
        words = {key: text(error[key]) for key in ("message", "hint") if isinstance(error.get(key), str)}
        said["error"] = {**error, **words} | ({"problems": problems} if "problems" in error else {})
    return {**told, **said}


def text(said: Any) -> Any:
    """A sentence in the words of tools; what is no text as it is."""
    if not isinstance(said, str):
        return said
    for pattern, word in OTHERS:
        said = re.sub(pattern, word, said)
    said = _COMMAND.sub(lambda found: VERBS.get(found[1], found[0]), said)
    return _OPTION.sub(lambda found: name if (name := found[1].replace("-", "_")) in ARGUMENTS else found[0], said)
