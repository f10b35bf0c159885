"""The bank over the Model Context Protocol, on stdio or on this machine's own network address.

A tool is a verb of the command line and answers with its envelope: the caller hands in how a command line is carried out, and
nothing here knows what a verb does. The official SDK (extra ``mcp``) is loaded when a server starts.
"""

from __future__ import annotations

from runner.mcp.server import Calls, needed, serve_http, serve_stdio

__all__ = ["Calls", "needed", "serve_http", "serve_stdio"]
