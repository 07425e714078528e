"""Tidegate's operator; see docs/architecture.md for where each room is."""
