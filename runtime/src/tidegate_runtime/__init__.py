"""Tidegate's runtime; see docs/architecture.md for where each room is."""

from typing import Final

__version__: Final = "0.1.0"
