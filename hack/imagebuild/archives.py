"""Built images as files, by what they were built from: `<image>-<tag>.tar`, and links to them named by their inputs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuild.catalog import Image

# Of each image; a step back in Git is then no build.
_KEPT = 3
_TAG = "[0-9a-f]" * 12


@dataclass(frozen=True)
class Archive:
    """An image's archive. `tag` is twelve digits of the image's own digest."""

    image: Image
    tag: str
    path: Path

    @property
    def reference(self) -> str:
        """The name by which pods ask for the image in this archive."""
        return self.image.reference(self.tag)


@dataclass(frozen=True)
class Archives:
    """A folder of archives, for one process at a time."""

    folder: Path

    def archive(self, image: Image, tag: str) -> Archive:
        """The archive of this image, whether or not it has been written."""
        return Archive(image, tag, self.folder / f"{image.name}-{tag}.tar")

    def find(self, image: Image, inputs: str) -> Archive | None:
        """The archive of the image built from these inputs, if it is kept."""
        link = self._link(image, inputs)
        if not link.exists():
            return None
        found = self._at(image, link.readlink())
        os.utime(found.path)
        return found

    @contextmanager
    def draft(self, archive: Archive) -> Iterator[Path]:
        """A path that does not exist; what is written there becomes the archive, unless the block fails."""
        draft = self.folder / f"{archive.image.name}.draft"
        draft.unlink(missing_ok=True)
        yield draft
        draft.replace(archive.path)

    def record(self, archive: Archive, inputs: str) -> list[Archive]:
        """Remember that these inputs give this archive; drops and returns the image's least used archives."""
        link = self._link(archive.image, inputs)
        link.unlink(missing_ok=True)
        link.symlink_to(archive.path.name)
        os.utime(archive.path)
        kept = sorted(self.folder.glob(f"{archive.image.name}-{_TAG}.tar"), key=lambda path: path.stat().st_mtime_ns)
        dropped = [self._at(archive.image, path) for path in kept[:-_KEPT]]
        for old in dropped:
            old.path.unlink()
        for link in self.folder.glob(f"{archive.image.name}-{_TAG}.inputs"):
            if not link.exists():
                link.unlink()
        return dropped

    def _at(self, image: Image, path: Path) -> Archive:
        return self.archive(image, path.stem.removeprefix(f"{image.name}-"))

    def _link(self, image: Image, inputs: str) -> Path:
        return self.folder / f"{image.name}-{inputs}.inputs"
