"""The content that an image is built from, as a digest: equal trees give equal digests."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagebuild.catalog import Image
from imagebuild.errors import BuildError

_DIGITS = 12


def files_below(root: Path, paths: tuple[str, ...]) -> Iterator[str]:
    """The files that the build would copy, relative to `root`, sorted; bytecode and libraries left out.

    .dockerignore leaves them out, too: they are made in the checkout.

    Raises:
        BuildError: a path does not exist.
    """
    found: set[Path] = set()
    for path in paths:
        if not (root / path).exists():
            raise BuildError(f"{path} is missing in {root}: the image is built from it")
        found.add(root / path)
        for folder, folders, names in os.walk(root / path):
            folders[:] = [name for name in folders if name != "__pycache__"]
            found.update(Path(folder, name) for name in names if not name.endswith((".pyc", ".so")))
    return (path.relative_to(root).as_posix() for path in sorted(found) if path.is_file())


def digest_of(parts: Mapping[str, bytes]) -> str:
    """Twelve hex digits for these named parts; which part a byte is in counts, the order of the parts doesn't."""
    digest = hashlib.sha256()
    for name, content in sorted(parts.items()):
        digest.update(f"{len(name.encode())} {len(content)} {name}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def inputs_digest(root: Path, image: Image, base: str) -> str:
    """Stands for all that decides what `image` becomes when built from the checkout at `root` upon `base`.

    Raises:
        BuildError: a file that the image is built from is missing.
    """
    parts = {f"argument:{name}": value.encode() for name, value in {**image.arguments, "BASE": base}.items()}
    parts["target"] = image.target.encode()
    for path in files_below(root, (image.dockerfile, *image.paths)):
        executable = "x" if os.access(root / path, os.X_OK) else "-"
        parts[f"file:{executable}:{path}"] = (root / path).read_bytes()
    return digest_of(parts)


def copy_inputs(root: Path, image: Image, destination: Path) -> None:
    """Copy what the image is built from, and nothing else, to a folder that does not exist yet.

    Raises:
        BuildError: a file that the image is built from is missing.
    """
    for path in files_below(root, (image.dockerfile, *image.paths)):
        copy = destination / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, copy)
