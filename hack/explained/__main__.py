"""Writes docs/explain.md. Run by `make pages`."""

from pathlib import Path

from explained.page import page

(Path(__file__).parents[2] / "docs/explain.md").write_text(page())
