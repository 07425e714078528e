"""Spec and plan → the manifests that should exist; pure."""

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
Owner = Mapping[str, Any]
"""The InferenceService as the API server has it; only its metadata is read."""
