"""Which packages do not start: they are installed, in a version that fits, and break when they are imported.

They are imported in a process of its own: it may be broken in a way that ends the interpreter, and it takes seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

# Where the name to import is not that of the distribution, or its first module hides what is compiled.
MODULES = {
    "cryptography": "cryptography.hazmat.primitives.ciphers.aead",
    "matplotlib": "matplotlib.figure",
    "mcp": "mcp.server",
    "packaging": "packaging.requirements",
    "pysimdjson": "simdjson",
    "pyyaml": "yaml",
    "tensorboard": "torch.utils.tensorboard",
}
LONGEST = 120  # seconds; torch takes a few from a cold disk
TRY = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
told = sys.stdout
sys.stdout = sys.stderr
for name in sys.argv[1:]:
    print(json.dumps([name, None]), file=told, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        says = " ".join(str(error).split())[:200]
        print(json.dumps([name, f"{type(error).__name__}: {says}" if says else type(error).__name__]), file=told, flush=True)
"""


def broken(distributions: Iterable[str]) -> dict[str, str]:
    """Those of the distributions that cannot be imported, and what they say; all of them have to be installed."""
    modules = {MODULES.get(name.lower(), name.lower().replace("-", "_")): name for name in distributions}
    found, left = dict[str, str](), list(modules)
    while left:
        tried, problems = _try(left)
        found |= {modules[name]: says for name, says in problems.items()}
        left = left[max(1, len(tried)) :]
    return found


def _try(modules: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The modules that were reached before the process ended, and what is wrong with them."""
    import signal
    import subprocess

    command = [sys.executable, "-P", "-c", TRY, *modules]  # -P: no module of the folder one happens to be in
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LONGEST, check=False)
        said, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        said, code = expired.stdout or b"", None
    except OSError as error:
        return list(modules), {modules[0]: f"Python cannot be started: {error}"}
    tried, problems = [], dict[str, str]()
    for line in said.decode(errors="replace").splitlines():
        name, says = json.loads(line)
        if says is None:
            tried.append(name)
        else:
            problems[name] = says
    if code != 0:
        at = tried[-1] if tried else modules[0]
        ended = f"it ends the interpreter ({signal.Signals(-code).name if code and code < 0 else code})"
        problems[at] = f"it does not come to an end within {LONGEST} s" if code is None else ended
    return tried, problems
