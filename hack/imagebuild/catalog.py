"""The images, as data: what each is built from and what it is called."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imagebuild.errors import BuildError

# A name with a domain is the same in every tool: none of them adds docker.io/library/ or localhost/ in front.
REGISTRY = "tidegate.dev"
_LOCK = (
    "pyproject.toml",
    "uv.lock",
    "operator/pyproject.toml",
    "runtime/pyproject.toml",
    "runtime/nghttp2/pyproject.toml",
    "runtime/numbers/pyproject.toml",
)
_RUNTIME = (*_LOCK, "runtime/src", "runtime/hatch_build.py", "runtime/nghttp2", "runtime/numbers")


@dataclass(frozen=True)
class Image:
    """One image. `paths` are the files and folders of the checkout that its Dockerfile copies for this target."""

    name: str
    dockerfile: str
    paths: tuple[str, ...]
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def values_key(self) -> str:
        """The image's name in the chart's values: `runtimeCuda`."""
        head, *rest = self.name.split("-")
        return head + "".join(word.capitalize() for word in rest)

    @property
    def repository(self) -> str:
        """The image's name without a tag."""
        return f"{REGISTRY}/{self.name}"

    def reference(self, tag: str) -> str:
        """The image's name with a tag."""
        return f"{self.repository}:{tag}"


IMAGES = {
    image.name: image
    for image in (
        Image("operator", "Dockerfile.operator", (*_LOCK, "operator/src"), target="operator"),
        Image("router", "Dockerfile.operator", (*_LOCK, "operator/router"), target="router"),
        Image("runtime", "Dockerfile.runtime", _RUNTIME, arguments={"VARIANT": "cpu"}),
        Image("runtime-cuda", "Dockerfile.runtime", _RUNTIME, arguments={"VARIANT": "gpu"}),
    )
}
# runtime-cuda downloads 0.3 GB, and 1.6 GB with the CUDA libraries: it is built when it is asked for.
DEFAULT = ("operator", "router", "runtime")


def select(names: Iterable[str]) -> list[Image]:
    """The named images, or the default ones if none is named.

    Raises:
        BuildError: there is no such image.
    """
    chosen = list(names) or list(DEFAULT)
    if unknown := [name for name in chosen if name not in IMAGES]:
        raise BuildError(f"no image {', '.join(unknown)}: there are {', '.join(IMAGES)}")
    return [IMAGES[name] for name in chosen]


def helm_values(tags: Mapping[str, str]) -> str:
    """The chart's values (YAML) that name these images by their content; `tags` by image name."""
    lines = ["images:"]
    for image, tag in ((IMAGES[name], tag) for name, tag in tags.items()):
        # A tag of digits alone, or like 1e5, is a string only in quotes.
        lines.append(f"  {image.values_key}: {{repository: {image.repository}, tag: {json.dumps(tag)}}}")
    return "\n".join(lines) + "\n"
