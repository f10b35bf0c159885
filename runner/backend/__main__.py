"""``python -m runner.backend``: the program of the child process."""

from __future__ import annotations

import sys

from runner.backend.child import main

if __name__ == "__main__":
    sys.exit(main())
