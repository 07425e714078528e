"""Prometheus itself, for tests of what asks it."""
