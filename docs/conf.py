"""Settings of the site that `make docs` builds. Its source is the whole project, so that links are those of the files."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

project = "tao-skill-bank"
author = "tao-skill-bank contributors"
project_copyright = author
release = version = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["docs/*.md", "references/*.md", "skills/*/SKILL.md", "skills/*/references/*.md", "[!R]*.md"]
exclude_patterns = [".*", "build", "demo", "workspace", "**/__pycache__"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a generated page or a skill may begin below its title

html_theme = "furo"  # no fonts or scripts from elsewhere; light and dark
html_title = f"{project} {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["site"]  # a first page at the top that leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "monokai"
