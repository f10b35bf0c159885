"""Small stand-ins for a trainer's actions; the tests name them as "entrypoints:<function>"."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stgcn.errors import DataError


def ok(spec: dict) -> dict:
    print("hello from the trainer")
    logging.getLogger("stgcn").info("said through the logger")
    return {
        "metrics": {"val_loss": 0.5, "stdin": sys.stdin.read(), "group": os.getpgrp(), "env": os.environ.get("COLOUR")},
        "artifacts": {"checkpoint": Path(spec["folder"]) / "model.pth"},
        "checkpoints": [{"path": "model.pth", "epoch": 0}],
    }


def users_mistake(spec: dict) -> dict:
    raise DataError(["train_data.npy: empty", "train_label.pkl: missing"])


def defect(spec: dict) -> dict:
    raise KeyError("no such thing")


def returns_nothing(spec: dict) -> None:
    return None


def not_plain(spec: dict) -> dict:
    return {"metrics": {"model": object()}, "artifacts": {}}


def leaves(spec: dict) -> dict:
    sys.exit(spec["code"])


def interrupted(spec: dict) -> dict:
    raise KeyboardInterrupt


def kills_itself(spec: dict) -> dict:
    os.kill(os.getpid(), spec["signal"])
    time.sleep(30)
    return {}


def counts(spec: dict) -> dict:
    for number in range(3):
        print(f"\rpart {number}\rline {number}", flush=True)
        time.sleep(0.05)
    return {"metrics": {}, "artifacts": {}}


def waits(spec: dict) -> dict:
    """Say that it started, and tidy up when told to stop."""
    folder = Path(spec["folder"])
    try:
        (folder / "started").touch()  # from here on it may be told
        time.sleep(60)
    finally:
        (folder / "tidied").touch()
    return {}


def stubborn(spec: dict) -> dict:
    """Ignores SIGTERM, and has a child of its own that does so too; writes down both process ids."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"])
    _note(spec, os.getpid(), grandchild.pid)
    time.sleep(60)
    return {}


def fragile(spec: dict) -> dict:
    """Dies of SIGTERM at once and leaves a child behind that ignores it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    grandchild = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"])
    _note(spec, os.getpid(), grandchild.pid)
    time.sleep(60)
    return {}


def leaves_a_child(spec: dict) -> dict:
    grandchild = subprocess.Popen(["sleep", "60"])
    _note(spec, grandchild.pid)
    grandchild.returncode = 0  # it is meant to be left behind
    return {"metrics": {}, "artifacts": {}}


def _note(spec: dict, *pids: int) -> None:
    path = Path(spec["folder"]) / "pids"
    path.with_suffix(".tmp").write_text(" ".join(map(str, pids)))
    path.with_suffix(".tmp").replace(path)


def controlled(spec: dict, control=None) -> dict:
    """Asks after each of three epochs; ends where it is told to."""
    epoch = 0
    for epoch in range(1, 4):
        if control is not None and control(epoch, {"val_loss": 1 / epoch}):
            break
    return {"metrics": {"epochs": epoch, "asked": control is not None}, "artifacts": {}}


def upsets(spec: dict) -> dict:
    """Tells the state that it finds its process in, then changes all of it and leaves it so."""
    import random
    import threading
    import warnings

    found = {
        "environment": {key: value for key, value in sorted(os.environ.items()) if key != "PYTEST_CURRENT_TEST"},
        "folder": os.getcwd(),
        "umask": os.umask(0o22),
        "filters": [repr(one) for one in warnings.filters],
        "handlers": [repr(one) for one in logging.getLogger().handlers],
        "levels": [logging.getLogger(name).level for name in (None, "stgcn", "pytorch_lightning")],
        "signals": [repr(signal.getsignal(one)).partition(" at ")[0] for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "path": list(sys.path),
        "modules": sorted(name for name in sys.modules if name.startswith(("entrypoints", "stgcn", "left"))),
        "recursion": sys.getrecursionlimit(),
        "streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, sys.stdin.read()],
        "count": len(LEFT),
    }
    os.environ["LEFT"] = "behind"
    os.environ.pop("COLOUR", None)
    os.chdir(spec["folder"])
    os.umask(0o77)
    warnings.simplefilter("error")
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("stgcn").setLevel(logging.ERROR)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=time.sleep, args=(60,), name="left", daemon=True).start()
    sys.path.insert(0, spec["folder"])
    sys.modules["left"] = sys
    sys.setrecursionlimit(5000)
    sys.stdout = sys.stderr
    LEFT.append(1)
    random.seed(spec["seed"])
    return {"metrics": found, "artifacts": {}}


LEFT: list[int] = []


def draws(spec: dict) -> dict:
    """What is drawn where nothing was seeded."""
    import random

    import numpy as np

    return {"metrics": {"python": random.random(), "numpy": float(np.random.random())}, "artifacts": {}}


def about(spec: dict) -> dict:
    """Who runs this, and by whom it was started."""
    return {"metrics": {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp()}, "artifacts": {}}
