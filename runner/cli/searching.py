"""The options of a search, as `plan`, `validate` and `run` take them."""

from __future__ import annotations

import argparse

from runner import databases
from runner.cli.kinds import text


def add_options(sub: argparse.ArgumentParser) -> None:
    """Budget, algorithm, settings and workers."""
    sub.add_argument(
        "--budget",
        metavar="KEY=N",
        action="append",
        default=[],
        help="of the search: trials=N, epochs=N (both in total), time=10m; repeatable; default trials=10",
    )
    sub.add_argument(
        "--algorithm",
        metavar="NAME",
        help="of the search: bayesian (default), bfbo, random, asha, hyperband, bohb, dehb or agent",
    )
    sub.add_argument(
        "--search",
        metavar="KEY[=RANGE]",
        action="append",
        default=[],
        help="search this setting too, or otherwise: KEY=log:1e-3..0.3, KEY=1..10 or KEY=a,b,c; repeatable",
    )
    sub.add_argument(
        "--no-search",
        metavar="KEY",
        action="append",
        default=[],
        help="leave this setting as it is; all: search what --search names, and nothing else; repeatable",
    )
    sub.add_argument("--workers", metavar="N", help="trials at once; default auto: what cores, GPUs and memory allow")
    sub.add_argument("--no-prune", action="store_true", help="train every trial to its end, however far behind it is")
    sub.add_argument("--keep-trials", action="store_true", help="keep the checkpoints of all trials")
    sub.add_argument(
        "--storage", metavar="URL", type=text, help=f"database of a search over several machines: {databases.ALLOWED}"
    )
    sub.add_argument(
        "--lost-after", metavar="TIME", help="with --storage: after so long without a word a worker is lost; default 2m"
    )
    sub.add_argument("--launch", metavar="ENGINE", help="with --storage: slurm submits --workers N workers (default 4)")
    sub.add_argument(
        "--slurm",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="of --launch slurm: partition=gpu, time=600; repeatable",
    )
    sub.add_argument("--join", action="store_true", help="with --resume: work beside the process that runs that search")
