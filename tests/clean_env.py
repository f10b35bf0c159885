"""A clean environment beside this one: its own packages from the registry, and the torch of this one, which is large.

What pip is told of torch is true: its metadata come along, so that requirements on torch, and those of torch, are resolved.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LENT = ("torch", "torch-*.dist-info", "torch.libs", "torchgen", "functorch", "nvidia", "nvidia_*", "triton", "triton-*")


class CleanEnv:
    """A virtual environment in ``folder``."""

    def __init__(self, folder: Path, *, lend_torch: bool = True) -> None:
        self.folder = folder
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"
        if lend_torch:
            self._lend()

    def _lend(self) -> None:
        here, lent = Path(sysconfig.get_path("purelib")), self.folder / "lent"
        lent.mkdir()
        for pattern in LENT:
            for path in here.glob(pattern):
                (lent / path.name).symlink_to(path)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (self.folder / "lib" / version / "site-packages" / "lent.pth").write_text(f"{lent}\n")

    def pip(self, *words: object) -> None:
        """Install; what pip says is shown when it fails."""
        done = self.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words, timeout=1800)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(
        self, program: str, *words: object, cwd: Path | None = None, timeout: float = 600, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, with nothing of the checkout on its path."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SKILL_BANK", "VIRTUAL_ENV")}
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(self.bin / program), *map(str, words)],
            cwd=cwd or self.folder,
            env={**kept, "PATH": path, "OMP_NUM_THREADS": "1", **env},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def build(out: Path) -> tuple[Path, Path]:
    """Wheel and sdist of this checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def version() -> str:
    """That of the package."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def lower_bounds(*, extras: bool = False) -> dict[str, str]:
    """The lowest version that pyproject.toml allows of each package the core needs; with the ``extras`` of ``all`` too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted, optional = list(project["dependencies"]), project["optional-dependencies"]
    if extras:
        names = re.search(r"\[([\w,]+)\]", optional["all"][0])
        assert names
        wanted += [text for name in names[1].split(",") for text in optional[name]]
    found = (re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", text) for text in wanted)
    return {one[1]: one[2] for one in found if one}
