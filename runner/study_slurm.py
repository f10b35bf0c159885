"""Workers of a search on a Slurm cluster, submitted through submitit. Knows no studies.

The cluster's machines see the workspace's folder under the same name, as submitit itself needs it; each worker has a workspace
of its own there, as no lock is to be held across machines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import databases
from runner.errors import SkillBankError, UsageError

FOLDER = "slurm"  # in the results of the search: what Slurm and submitit write
HOURS = 24
LOOK = 30.0  # seconds between two looks whether there are workers left
NOT_SAID = {"map_count", "setup", "teardown", "additional_parameters", "srun_args", "use_srun", "num_gpus"}  # its own, or lists
NUMBERS = {"time": "minutes", "mem": "GB", "cpus_per_task": "cores", "gpus_per_node": "GPUs"}


def command(facts: Mapping[str, Any], workspace: Path, index: int | str) -> list[str]:
    """The command line of one worker, without any secret."""
    own = workspace / "workers" / str(facts["study_id"]) / str(index)
    where = ["--study", str(facts["study_id"]), "--storage", str(facts["storage"]), "--workers", "1"]
    return [sys.executable, "-m", "runner.cli", "automl", "worker", *where, "--workspace", str(own)]


def script(facts: Mapping[str, Any], workspace: Path, folder: Path) -> str:
    """What `sbatch` would be given; needs no Slurm.

    Raises:
        UsageError: an option that sbatch has not. SkillBankError: submitit is not installed.
    """
    import shlex

    slurm = _submitit()
    told, count = _parameters(facts, slurm), int(facts["launch"]["workers"])
    *words, own = command(facts, workspace, "INDEX")
    line = f"{shlex.join(words)} {shlex.quote(own.removesuffix('INDEX'))}${{SLURM_ARRAY_TASK_ID:-0}}"
    told |= {"mem": f"{told['mem']}GB"} if "mem" in told else {}
    found: str = slurm._make_sbatch_string(line, folder / FOLDER, map_count=count if count > 1 else None, **told)
    return found


class Batch:
    """Workers that were submitted."""

    def __init__(self, facts: Mapping[str, Any], workspace: Path, folder: Path, say: Callable[[str], None]) -> None:
        """Submit them.

        Raises:
            UsageError: an option that sbatch has not. SkillBankError: they cannot be submitted, and why.
        """
        import submitit

        slurm = _submitit()
        told = _parameters(facts, slurm)
        self.folder, self.jobs = folder / FOLDER, list[Any]()
        try:
            with _environment(databases.handed_on(facts["storage"])):
                executor = slurm.SlurmExecutor(folder=self.folder)
                executor.update_parameters(**told)
                with executor.batch():
                    for i in range(int(facts["launch"]["workers"])):
                        line = command(facts, workspace, i)
                        self.jobs.append(executor.submit(submitit.helpers.CommandFunction(line, verbose=False)))
        except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
            why = str(error).strip().splitlines()[0]
            hint = "Run this on a machine that submits to Slurm; --dry-run prints the script."
            raise SkillBankError(f"Slurm takes no workers: {why}", hint=hint, exit_code=7) from None
        say(f"submitted {len(self.jobs)} workers to Slurm: {', '.join(job.job_id for job in self.jobs)}")

    def ended(self) -> bool:
        """Whether none of them is waiting or running any more."""
        return all(job.done() for job in self.jobs)

    def cancel(self) -> None:
        """End those that are left."""
        for job in self.jobs:
            if not job.done():
                job.cancel(check=False)


def _submitit() -> Any:
    try:
        from submitit.slurm import slurm
    except ImportError:
        why = "--launch slurm needs submitit, which is not installed."
        raise SkillBankError(why, hint="pip install 'tao-skill-bank[slurm]'", exit_code=7) from None
    return slurm


def _parameters(facts: Mapping[str, Any], slurm: Any) -> dict[str, Any]:
    own = {"job_name": f"automl-{facts['study_id']}", "time": HOURS * 60, "ntasks_per_node": 1, "stderr_to_stdout": True}
    said = dict(facts["launch"]["options"])
    known = set(slurm._get_default_parameters()) - NOT_SAID
    wrong = [f"--slurm {key}: not known" for key in said if key not in known]
    wrong += [
        f"--slurm {key}={said[key]}: a whole number of {NUMBERS[key]}"
        for key in NUMBERS
        if not isinstance(said.get(key, 0), int)
    ]
    if wrong:
        raise UsageError("Slurm cannot be asked so:", problems=wrong, hint=f"Allowed: {', '.join(sorted(known))}.")
    return {**own, "wckey": None, **said}


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """For the length of the block these variables are set, as sbatch hands its own on to the workers."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
