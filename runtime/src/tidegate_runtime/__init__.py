"""Tidegate's runtime; see docs/architecture.md for where each room is."""
