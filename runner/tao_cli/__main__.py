"""`python -m runner.tao_cli`."""

import sys

from runner.tao_cli import main

sys.exit(main())
