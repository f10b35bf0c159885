"""``python -m runner.backend``: the program of the child process, and with the word ``warm`` that of a warm one."""

from __future__ import annotations

import sys

from runner.backend import child, warm

if __name__ == "__main__":
    sys.exit(warm.main() if sys.argv[1:] == ["warm"] else child.main())
