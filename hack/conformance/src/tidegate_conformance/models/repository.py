"""The known models on disk: `<name>/<version>/model.onnx`, the layout of Triton's model repositories."""

from pathlib import Path

import onnx

from tidegate_conformance.models.catalogue import KNOWN


def write_repository(folder: Path) -> list[Path]:
    """Writes all known models below `folder`, replacing those that are there; the files."""
    paths = []
    for model in KNOWN.values():
        for version, build in model.graphs.items():
            path = folder / model.name / version / "model.onnx"
            path.parent.mkdir(parents=True, exist_ok=True)
            onnx.save(build(), path)
            paths.append(path)
    return paths
