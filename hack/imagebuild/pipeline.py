"""From the checkout to archives: an image is built when its inputs have changed, and written when it came out new."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuild import engine as engines
from imagebuild.archives import Archive, Archives
from imagebuild.base import ensure_base
from imagebuild.catalog import Image
from imagebuild.content import copy_inputs, inputs_digest
from imagebuild.indexaccess import write_secrets
from imagebuild.steps import run_step
from localcluster.progress import Progress


@dataclass(frozen=True)
class Built:
    """An image in its archive. `seconds` is what it took, 0 if nothing had to be done; `size` the image's if built."""

    image: Image
    archive: Archive
    seconds: float = 0
    size: str = ""


def build_images(images: Sequence[Image], base: str, root: Path, cache: Path, progress: Progress) -> list[Built]:
    """Each image with its archive, built upon `base` from the checkout at `root` if it isn't there yet.

    Raises:
        BuildError: an image can't be built; those before it are kept.
    """
    archives = Archives(cache / "images")
    found = {image.name: archives.find(image, inputs_digest(root, image, base)) for image in images}
    missing = [name for name, archive in found.items() if archive is None]
    if missing:
        engine = engines.choose(progress, archives.folder)
        progress.say(f"building {', '.join(missing)} with {engine.program} upon {base}")
        ensure_base(base, engine, cache, progress)
    results = []
    for image in images:
        archive = found[image.name]
        results.append(Built(image, archive) if archive else _build(image, base, root, archives, engine, progress))
    return results


def _build(
    image: Image, base: str, root: Path, archives: Archives, engine: engines.Engine, progress: Progress
) -> Built:
    start = time.monotonic()
    log = archives.folder / f"{image.name}.log"
    progress.say(f"{image.name}: {image.dockerfile} {image.target}".rstrip())
    with tempfile.TemporaryDirectory(prefix="tidegate-image-") as folder:
        # Built from a copy, so that the digest is that of what was built even if someone saves a file meanwhile.
        context = Path(folder, "context")
        copy_inputs(root, image, context)
        inputs = inputs_digest(context, image, base)
        build = engines.Build(
            context=context,
            dockerfile=image.dockerfile,
            target=image.target,
            arguments={**image.arguments, "BASE": base},
            secrets=write_secrets(Path(folder)),
            tag=image.reference("dev"),
        )
        run_step(engine.build(build), progress, log)
    # Inputs may change, as a comment in pyproject.toml, and the image come out the same: then so does its tag.
    tag = engines.image_id(engine, build.tag)
    size = engines.image_size(engine, build.tag)
    archive = archives.archive(image, tag)
    if not archive.path.exists():
        progress.say(f"{image.name}: built, {size}; writing the archive")
        subprocess.run([engine.program, "tag", build.tag, archive.reference], check=True)
        with archives.draft(archive) as draft:
            run_step(engine.save(archive.reference, draft), progress, log.with_suffix(".save.log"))
    for dropped in archives.record(archive, inputs):
        # Its layers stay for the cache; the engine's own pruning takes what nothing names any more.
        subprocess.run([engine.program, "rmi", dropped.reference], capture_output=True, check=False)
    return Built(image, archive, time.monotonic() - start, size)
