"""`skillbank mcp` with the official client: over real stdio from list to report, over HTTP, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jsonschema
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from runner import mcp
from runner.cli import serving
from runner.errors import SkillBankError
from runner.mcp import http, tools
from runner.mcp.server import call

SKILL = "tao-train-toy"
TOKEN = "a-token-of-the-tests-1234"
REQUEST = {"skill": SKILL, "action": "train", "dataset": ".", "automl": "off"}
Envelope = dict[str, Any]


def parameters(toy: Any) -> StdioServerParameters:
    words = ["-m", "runner.cli", "mcp", "--workspace", "workspace"]
    return StdioServerParameters(command=sys.executable, args=words, cwd=str(toy.folder), env=toy.env)


@contextlib.asynccontextmanager
async def connected(toy: Any) -> AsyncIterator[Client]:
    async with Client(stdio_client(parameters(toy))) as client:
        yield client


async def ask(client: Client, tool: str, **arguments: Any) -> Envelope:
    """A call's envelope, the same as structure and as text."""
    result = await client.call_tool(tool, arguments)
    told = result.structured_content
    assert json.loads(result.content[0].text) == told
    assert result.is_error is not told["ok"]
    jsonschema.validate(told, tools.BY_NAME[tool].output_schema)
    return told


async def ended(client: Client, job: str) -> Envelope:
    with anyio.fail_after(30):
        while (told := await ask(client, "status", job=job))["data"]["state"] in ("PENDING", "RUNNING"):
            await anyio.sleep(0.1)
    return told


def test_from_list_to_report_over_stdio(toy: Any) -> None:
    over = anyio.run(whole_way, toy)
    listed, status = toy("list", "--json").envelope, toy("status", "mine", "--json").envelope
    here, there = "--workspace workspace", f"--workspace {toy.folder / 'workspace'}"
    assert over == [listed, {**status, "next": [line.replace(here, there) for line in status["next"]]}]
    assert toy.jobs()[0]["command"][:2] == ["skillbank", "run"]


async def whole_way(toy: Any) -> list[Envelope]:
    """All tools and resources; gives two answers that are to be those of the command line."""
    async with connected(toy) as client:
        offered = (await client.list_tools()).tools
        assert [tool.name for tool in offered] == [tool.name for tool in tools.TOOLS]
        assert (await ask(client, "list_skills"))["data"]["skills"][0]["name"] == SKILL
        assert "train.lr" in (await ask(client, "describe", skill=SKILL, action="train"))["data"]["settings"]
        assert "# Toy" in (await client.read_resource(f"skillbank://skills/{SKILL}/SKILL.md")).contents[0].text
        plan = await ask(client, "plan", **REQUEST, settings={"num_epochs": 1, "train.behave": "well"})
        assert plan["data"]["spec"]["train"]["num_epochs"] == 1
        job = await ask(client, "submit", plan=plan["data"]["plan_hash"], job_id="mine")
        assert job["data"]["state"] in ("PENDING", "RUNNING")
        assert (await ask(client, "submit", plan=plan["data"]["plan_hash"], job_id="mine"))["data"]["existing"]
        done = await ended(client, "mine")
        assert done["data"]["state"] == "COMPLETE"
        assert done["data"]["hashes"]["plan"] == plan["data"]["plan_hash"]
        assert "toy training starts" in (await ask(client, "logs", job="mine"))["data"]["text"]
        found = [str(one.uri) for one in (await client.list_resources()).resources]
        assert "skillbank://jobs/mine/report.md" in found
        report = (await client.read_resource("skillbank://jobs/mine/report.md")).contents[0]
        assert report.mime_type == "text/markdown"
        assert "mine" in report.text
        told = (await client.read_resource("skillbank://jobs/mine/report.json")).contents[0].text
        assert json.loads(told)["schema_version"]
        assert (await ask(client, "status"))["data"]["jobs"][0]["id"] == "mine"
        assert (await ask(client, "cancel", job="mine"))["error"]["exit_code"] == 9
        for uri in ("skillbank://jobs/none/report.md", "file:///etc/passwd", "skillbank://skills/../../AGENTS.md"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
        with pytest.raises(MCPError, match="tools: list_skills"):
            await client.call_tool("run", {})
        return [await ask(client, "list_skills"), await ask(client, "status", job="mine")]


def servers() -> list[int]:
    """The ids of the servers that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"\0mcp\0" in (path.parent / "cmdline").read_bytes():
                found.append(int(path.parent.name))
    return found


def test_a_job_outlives_a_server_that_is_killed(toy: Any) -> None:
    async def submit_and_kill() -> None:
        async with connected(toy) as client:
            told = await ask(client, "submit", **REQUEST, settings={"train.seconds": 0.3}, job_id="long")
            assert told["ok"]
            for pid in servers():
                os.kill(pid, signal.SIGKILL)

    with contextlib.suppress(MCPError, ExceptionGroup):  # the client complains that the server is gone
        anyio.run(submit_and_kill)
    assert servers() == []
    waited = toy("wait", "long", "--timeout", "30", "--json")
    assert waited.data["state"] == "COMPLETE"
    assert len(waited.data["checkpoints"]) == 3


def test_a_signal_ends_a_server_that_waits_for_its_client(toy: Any) -> None:
    command = [sys.executable, "-m", "runner.cli", "mcp"]
    env = {**os.environ, **toy.env}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with subprocess.Popen(command, cwd=toy.folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(hello).encode() + b"\n")
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["id"] == 1
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 130


# --- tools ---


def test_there_are_eight_tools_with_their_hints() -> None:
    hints = {tool.name: (tool.reads_only, tool.destroys) for tool in tools.TOOLS}
    assert hints == {
        **dict.fromkeys(("list_skills", "describe", "plan", "validate", "status", "logs"), (True, False)),
        "submit": (False, False),
        "cancel": (False, True),
    }
    for tool in tools.TOOLS:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert all("description" in argument for argument in tool.arguments.values())


def test_a_call_is_the_command_line_it_says() -> None:
    words = tools.BY_NAME["submit"].command(
        {
            **REQUEST,
            "phrase": "--train it",
            "settings": {"a.b": 3, "c": "true", "d": "as it is", "e": {"up": 0}},
            "trials": 2,
            "time": "5m",
            "epochs": 40,
            "algorithm": "asha",
            "search": {"lr": "log:1e-3..0.3", "dropout": ""},
            "no_search": ["patience", "-odd"],
            "workers": 2,
            "keep_trials": True,
            "plan": "0123456789ab",
        }
    )
    assert words == [
        *("run", SKILL, "train", "--detach", "--phrase=--train it", "--dataset", ".", "--automl", "off"),
        *("--algorithm", "asha", "--workers", "2"),
        *("--set", "a.b=3", "--set", 'c="true"', "--set", "d=as it is", "--set", 'e={"up": 0}'),
        *("--budget", "trials=2", "--budget", "epochs=40", "--budget", "time=5m"),
        *(
            "--search",
            "lr=log:1e-3..0.3",
            "--search",
            "dropout",
            "--no-search",
            "patience",
            "--no-search=-odd",
            "--keep-trials",
        ),
        *("--plan", "0123456789ab"),
    ]


def calls(folder: Path) -> mcp.Calls:
    return mcp.Calls(serving.answer, serving.refuse, folder, "0")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("logs", {}, "job"),
    ("logs", {"job": "--follow"}, "job"),
    ("logs", {"job": "a", "lines": 0}, "lines"),
    ("describe", {"skil": SKILL}, "skil"),
    ("plan", {**REQUEST, "automl": "perhaps"}, "automl"),
    ("plan", {**REQUEST, "settings": "lr=1"}, "settings"),
    ("plan", {**REQUEST, "settings": {"encryption_key": "swordfish"}}, "settings encryption_key"),
    ("submit", {**REQUEST, "pretrained": "https://me:swordfish@host/x.pth"}, "pretrained"),
    ("submit", {**REQUEST, "results": "s3://AKIAIOSFODNN7EXAMPLE/x"}, "results"),
]


@pytest.mark.parametrize(("tool", "arguments", "place"), WRONG, ids=[f"{name} {place}" for name, _, place in WRONG])
def test_wrong_arguments_and_secrets_are_refused_in_the_same_envelope(
    tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tool: str, arguments: dict[str, Any], place: str
) -> None:
    monkeypatch.setenv("SKILL_BANK", toy_env["SKILL_BANK"])
    told = call(calls(tmp_path), tool, arguments)
    assert told["error"]["exit_code"] == 2
    assert place in [problem["path"] for problem in told["error"]["problems"]]
    assert "swordfish" not in json.dumps(told)
    assert "AKIAIOSFODNN7EXAMPLE" not in json.dumps(told)
    jsonschema.validate(told, tools.BY_NAME[tool].output_schema)
    assert list(tmp_path.iterdir()) == []


# --- HTTP ---


@pytest.fixture
def served(toy: Any) -> Iterator[str]:
    """The address of a server that listens on a free port."""
    env = {**os.environ, **toy.env, "SKILLBANK_MCP_TOKEN": TOKEN}
    command = [sys.executable, "-m", "runner.cli", "mcp", "--http", "0"]
    with subprocess.Popen(command, cwd=toy.folder, env=env, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        yield server.stderr.readline().split()[-1]
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == -signal.SIGTERM
        assert TOKEN not in server.stderr.read()


def post(url: str, **headers: str) -> int:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
    kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {**kinds, **headers}), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_http_serves_who_has_the_token_and_nobody_else(served: str) -> None:
    assert served.startswith("http://127.0.0.1:")
    bearer = f"Bearer {TOKEN}"
    assert post(served) == 401
    assert post(served, Authorization="Bearer wrong") == 401
    assert post(served, Authorization=f"Basic {TOKEN}") == 401
    assert post(served, Authorization=bearer, Host="evil.example") == 421
    assert post(served, Authorization=bearer, Origin="http://evil.example") == 403

    async def over_http() -> Envelope:
        async with (
            httpx2.AsyncClient(headers={"Authorization": bearer}) as web,
            Client(streamable_http_client(served, http_client=web)) as client,
        ):
            return await ask(client, "list_skills")

    assert anyio.run(over_http)["data"]["skills"][0]["name"] == SKILL


def test_a_token_is_needed_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    monkeypatch.setenv(http.VARIABLE, "of-the-surroundings-1234")
    assert http.token(None) == "of-the-surroundings-1234"
    assert http.VARIABLE not in os.environ, "jobs do not inherit it"
    assert http.token(file) == TOKEN
    for said, change, code in (
        ("none is set", lambda: file.write_text(""), 2),
        ("16 or more", lambda: file.write_text("short"), 2),
        ("read by others", lambda: file.chmod(0o640), 9),
        ("cannot be read", file.unlink, 2),
    ):
        change()
        with pytest.raises(SkillBankError, match=said) as refused:
            http.token(file)
        assert refused.value.exit_code == code


def test_a_port_in_use_is_said_so() -> None:
    with http.bind(0) as first, pytest.raises(SkillBankError, match="cannot be listened on") as refused:
        http.bind(first.getsockname()[1])
    assert refused.value.exit_code == 7


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    told = serving.answer(["mcp"])
    assert told["error"]["exit_code"] == 7
    assert "tao-skill-bank[mcp]" in told["error"]["hint"]


def test_importing_the_package_loads_no_sdk() -> None:
    started = time.monotonic()
    program = "import sys, runner.mcp; sys.exit(any(n.partition('.')[0] in ('mcp', 'pydantic', 'anyio') for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0, time.monotonic() - started


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("describe", {"skill": SKILL, "setting": "train.lr"}, ["setting needs an action"]),
        ("describe", {"skil": SKILL}, ["no such argument, did you mean skill?"]),
        (
            "plan",
            {"skill": SKILL, "action": "train"},
            ["dataset DIR or settings train.data=PATH", f"See: describe {SKILL} train"],
        ),
        ("status", {"job": "nobody"}, ["See `status`", "the --workspace that the server is started with"]),
        ("submit", {"plan": "abcdefabcdef"}, ["Repeat its arguments beside plan"]),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_tools(
    tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tool: str, arguments: Any, says: list[str]
) -> None:
    monkeypatch.setenv("SKILL_BANK", toy_env["SKILL_BANK"])
    error = json.dumps(call(calls(tmp_path), tool, arguments)["error"])
    for words in says:
        assert words in error
    assert [word for word in ("--path", "--set", "--dataset", "--plan", "skillbank ") if word in error] == []
