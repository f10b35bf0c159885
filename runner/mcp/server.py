"""The server: tools and resources in the terms of the official SDK, on stdio or on HTTP. Answers come from ``Calls``."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import SkillBankError, UsageError
from runner.mcp import wording
from runner.mcp.tools import BY_NAME, TOOLS, WITHOUT_WORKSPACE

if TYPE_CHECKING:
    from socket import socket

    from anyio import CapacityLimiter
    from mcp.server.lowlevel import Server

Envelope = dict[str, Any]
AT_ONCE = 4  # calls that are carried out beside each other
PATIENCE = 5  # seconds that a call has when the server is to end
REPORT = "skillbank://jobs/{job}/report.{kind}"
KINDS = {"md": "text/markdown", "json": "application/json", "html": "text/html"}
GUIDE = "skillbank://skills/{skill}/{path}"
INSTRUCTIONS = """\
Skills and jobs for skeleton action recognition. list_skills says what there is; read the guide of a skill (resource
skillbank://skills/SKILL/SKILL.md) before working with it. plan, show the user the route, the data and the plan_hash, and submit
only what was agreed on: submit(plan=plan_hash). Jobs run in the background: poll status, read logs, and when a job has ended
read its report (resource skillbank://jobs/JOB/report.md). Every answer is one envelope: ok, data, warnings, error (what is
wrong, what is allowed) and next (commands of the same bank's command line). Paths are paths of the server's machine. Never put
a secret into an argument."""


class Calls(NamedTuple):
    """How a command line is carried out: the envelope of its answer, and that of an error that was found before."""

    answer: Callable[[Sequence[str]], Envelope]
    refuse: Callable[[str, SkillBankError], Envelope]
    workspace: Path
    version: str


def serve_stdio(calls: Calls) -> None:
    """Serve one client on this process's stdin and stdout until it hangs up."""
    import anyio
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        server = build(calls, limiter)
        async with anyio.create_task_group() as group:
            group.start_soon(_leave_on_signals, limiter)
            async with stdio_server() as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())
            group.cancel_scope.cancel()

    anyio.run(serve)


async def _leave_on_signals(limiter: CapacityLimiter) -> None:
    """End the process on a signal, after the calls that are being carried out, but soon.

    Nothing else ends it: the thread that reads stdin waits for a line and hears no signal.
    """
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            with anyio.move_on_after(PATIENCE):
                while limiter.borrowed_tokens:
                    await anyio.sleep(0.05)
            os._exit(128 + number)


def serve_http(calls: Calls, listening: socket, token: str) -> None:
    """Serve any number of clients on a bound socket of the loopback address, until a signal comes."""
    import anyio
    import uvicorn

    from runner.mcp.http import guarded

    async def serve() -> None:
        app = guarded(build(calls, anyio.CapacityLimiter(AT_ONCE)), listening.getsockname()[1], token)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=PATIENCE)
        await uvicorn.Server(config).serve(sockets=[listening])

    anyio.run(serve)


def needed() -> None:
    """Make sure that the SDK is there.

    Raises:
        SkillBankError: it is not (exit code 7).
    """
    from importlib.util import find_spec

    if find_spec("mcp") is None or find_spec("mcp.server.lowlevel") is None:
        raise SkillBankError(
            "The package mcp (2.0 or newer) is not installed.", hint="pip install 'tao-skill-bank[mcp]'", exit_code=7
        )


def build(calls: Calls, limiter: CapacityLimiter) -> Server[Any]:
    """The server with its tools and resources; ``limiter`` counts the calls that are being carried out."""
    import anyio
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    async def aside(function: Callable[..., Any], *arguments: Any) -> Any:
        """Off the event loop, so that a slow call does not hold up the others."""
        return await anyio.to_thread.run_sync(functools.partial(function, *arguments), limiter=limiter)

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    title=tool.title,
                    description=tool.description,
                    input_schema=tool.input_schema,
                    output_schema=tool.output_schema,
                    annotations=types.ToolAnnotations(
                        read_only_hint=tool.reads_only,
                        destructive_hint=tool.destroys,
                        idempotent_hint=tool.repeats,
                        open_world_hint=tool.leaves,
                    ),
                )
                for tool in TOOLS
            ]
        )

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in BY_NAME:
            raise MCPError(types.INVALID_PARAMS, f"no tool {params.name!r}; tools: {', '.join(BY_NAME)}")
        told = await aside(call, calls, params.name, dict(params.arguments or {}))
        text = json.dumps(told, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=told, is_error=not told["ok"]
        )

    async def list_resources(_: Any, __: Any) -> types.ListResourcesResult:
        found = await aside(resources, calls)
        return types.ListResourcesResult(
            resources=[types.Resource(uri=uri, name=name, mime_type=mime) for uri, (name, mime, _) in found.items()]
        )

    async def list_templates(_: Any, __: Any) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=REPORT.format(job="{job}", kind=kind),
                    name=f"report.{kind}",
                    description="The validation report of a job, with its parents and children.",
                    mime_type=mime,
                )
                for kind, mime in KINDS.items()
            ]
        )

    async def read_resource(_: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            text, mime = await aside(read, calls, uri)
        except SkillBankError as error:
            raise MCPError(types.INVALID_PARAMS, str(error), {"uri": uri}) from None
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)])

    return Server(
        "skillbank",
        version=calls.version,
        title="TAO skill bank",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


def call(calls: Calls, name: str, arguments: dict[str, Any]) -> Envelope:
    """The envelope of a tool's call: what the command line answers, or what is wrong with the arguments."""
    tool = BY_NAME[name]
    try:
        words = tool.command(arguments)
    except SkillBankError as error:
        return wording.fit(calls.refuse(tool.verb, error))
    if words[0] not in WITHOUT_WORKSPACE:
        words += ["--workspace", str(calls.workspace)]
    return wording.fit(calls.answer(words))


# -- resources -----------------------------------------------------------------------------------------------------


def resources(calls: Calls) -> dict[str, tuple[str, str, Path | None]]:
    """Address -> name, kind and file of what can be read: the guides of the skills, the reports of jobs that have ended."""
    from runner import bank

    found: dict[str, tuple[str, str, Path | None]] = {}
    for skill in bank.skills():
        for path in [skill.dir / "SKILL.md", *sorted((skill.dir / "references").glob("*.md"))]:
            name = str(path.relative_to(skill.dir))
            found[GUIDE.format(skill=skill.name, path=name)] = (f"{skill.name} {name}", KINDS["md"], path)
    rows = (calls.answer(["jobs", "--workspace", str(calls.workspace)])["data"] or {}).get("jobs", [])
    for row in rows:
        if row["ended_at"] and not row["study_job"]:
            found[REPORT.format(job=row["id"], kind="md")] = (f"report of {row['id']}", KINDS["md"], None)
    return found


_drawing = threading.Lock()  # the library that draws the figures of a report is not made for several threads


def read(calls: Calls, uri: str) -> tuple[str, str]:
    """The text of a resource and its kind.

    Raises:
        SkillBankError: there is none of that address, or the report cannot be made.
    """
    asked = re.fullmatch(r"skillbank://jobs/([A-Za-z0-9][A-Za-z0-9._-]*)/report\.(md|json|html)", uri)
    if asked is None:
        known = resources(calls)
        path = known[uri][2] if uri in known else None
        if path is None:
            raise UsageError(
                f"no resource {uri}",
                hint=f"Resources: skillbank://skills/SKILL/SKILL.md, {REPORT.format(job='JOB', kind='md')}",
            )
        return path.read_text(encoding="utf-8"), KINDS["md"]
    with _drawing:
        told = calls.answer(["report", asked[1], "--workspace", str(calls.workspace)])
    if not told["ok"]:
        raise UsageError(wording.text(told["error"]["message"]), hint=wording.text(told["error"].get("hint") or ""))
    paths = [Path(path) for path in told["data"]["report"].values() if Path(path).suffix == f".{asked[2]}"]
    return paths[0].read_text(encoding="utf-8"), KINDS[asked[2]]
