"""An entrypoint whose import takes long, and says that it began."""

from __future__ import annotations

import os
import time
from pathlib import Path

Path(os.environ["BEGAN"]).touch()
time.sleep(60)


def run(spec: dict) -> dict:
    return {"metrics": {}, "artifacts": {}}
