"""The verb `report`: of jobs, of jobs side by side, of the whole workspace."""

from __future__ import annotations

import argparse
from pathlib import Path

from runner import render
from runner.cli.kinds import folder
from runner.cli.reply import Reply, store_of
from runner.errors import UsageError


def add_options(sub: argparse.ArgumentParser) -> None:
    """The words that `report` takes."""
    sub.add_argument("jobs", metavar="JOB", nargs="*", help="jobs to tell of; their parents and children are told too")
    sub.add_argument("--compare", action="store_true", help="set two to eight jobs side by side, the first one as the base")
    sub.add_argument("--index", action="store_true", help="one page of all jobs of the workspace")
    sub.add_argument(
        "--out", metavar="DIR", type=folder, help="default: in <workspace>/reports, a folder named after the first job"
    )


def report(arguments: argparse.Namespace) -> Reply:
    """Write the report that was asked for."""
    _check(arguments)
    command = ["skillbank", *arguments.words]
    store = store_of(arguments)
    if not store.workspace.is_dir():
        raise UsageError(f"There is no workspace {store.workspace}.", hint="Name the one that has jobs: --workspace DIR")
    out = arguments.out.absolute() if arguments.out else None
    if arguments.index:
        from runner.report import index

        page, jobs = index.make(store, out, command)
        return _told({"html": page}, jobs)
    if arguments.compare:
        from runner.report import sidebyside

        return _told(*sidebyside.make(store, arguments.jobs, out, command))
    from runner.report import make

    return _told(*make.make(store, arguments.jobs, out, command))


def _told(files: dict[str, Path], jobs: list[str]) -> Reply:
    paths = {name: str(path) for name, path in files.items()}
    return Reply({"report": paths, "jobs": jobs}, render.paths(paths))


def _check(arguments: argparse.Namespace) -> None:
    """What does not go together, all of it at once."""
    from runner.report.compare import MOST

    jobs: list[str] = arguments.jobs
    wrong = []
    if arguments.compare and arguments.index:
        wrong.append("--compare and --index are two different pages: ask for one of them")
    elif arguments.index and jobs:
        wrong.append("--index tells of the whole workspace and takes no JOB")
    elif arguments.compare and not 2 <= len(set(jobs)) <= MOST:
        said = f"{len(set(jobs))} different job{'' if len(set(jobs)) == 1 else 's'}"
        wrong.append(f"--compare sets 2 to {MOST} jobs side by side; {said} named")
    elif not arguments.index and not jobs:
        wrong.append("name at least one JOB, or give --index for a page of the whole workspace")
    if wrong:
        raise UsageError(f"skillbank report: {'; '.join(wrong)}", hint="See: skillbank jobs, skillbank report --help")
