"""What stands for a Slurm cluster: `sbatch`, `srun`, `sacct` and `scancel` that run the script on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

SBATCH = f"""#!{sys.executable}
import os, re, subprocess, sys
from pathlib import Path

script, root = Path(sys.argv[1]), Path(__file__).parent
text = script.read_text()
(root / "submitted.sh").write_text(text)
array = re.search(r"^#SBATCH --array=0-(\\d+)", text, re.MULTILINE)
tasks = range(int(array[1]) + 1) if array else [None]
for task in tasks:
    env = dict(os.environ, SLURM_JOB_ID=str(100 + (task or 0)), SLURM_NTASKS="1", SLURM_PROCID="0", SLURM_LOCALID="0")
    env |= dict(SLURM_JOB_NUM_NODES="1", SLURM_NODEID="0", SLURM_JOB_NODELIST="here", SLURM_TIME_LIMIT="60")
    if task is not None:
        env |= dict(SLURM_ARRAY_JOB_ID="100", SLURM_ARRAY_TASK_ID=str(task))
    null = subprocess.DEVNULL
    process = subprocess.Popen(["bash", str(script)], env=env, stdin=null, stdout=null, stderr=null, start_new_session=True)
    (root / ("100" if task is None else f"100_{{task}}")).write_text(str(process.pid))
print("Submitted batch job 100")
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do
  case "$1" in --output|--error) shift 2 ;; *) shift ;; esac
done
exec "$@" >> "$(dirname "$0")/said" 2>&1
"""
SACCT = f"""#!{sys.executable}
from pathlib import Path

print("JobID|State|NodeList")
for path in sorted(Path(__file__).parent.glob("100*")):
    try:
        alive = Path(f"/proc/{{path.read_text()}}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        alive = False
    print(f"{{path.name}}|{{'RUNNING' if alive else 'COMPLETED'}}|here")
"""
SCANCEL = """#!/bin/bash
kill -TERM -- "-$(cat "$(dirname "$0")/${@: -1}")"
"""


def cluster(folder: Path) -> Path:
    """The folder of its programs, to be put on the path."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
