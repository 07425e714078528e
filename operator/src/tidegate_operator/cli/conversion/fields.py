"""A document whose fields are taken one by one, so that what nobody took can be told."""

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]


class Fields:
    """The fields of a document, and which of them are left."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._left = dict.fromkeys(_leaves(content))

    def look(self, *path: str | int) -> Any:
        """The value at `path`, which stays as it is; None if there is none."""
        node: Any = self._content
        for key in path:
            if isinstance(node, Mapping):
                node = node.get(key)
            elif isinstance(node, list) and isinstance(key, int):
                node = node[key] if key < len(node) else None
            else:
                return None
        return node

    def take(self, *path: str | int) -> Any:
        """The value at `path`, which is no longer left then, nor what is below it; None if there is none."""
        self._left = {leaf: None for leaf in self._left if leaf[: len(path)] != path}
        return self.look(*path)

    def left(self) -> list[Path]:
        """What nobody took: each value, or empty list or mapping, in the document's order."""
        return list(self._left)


def written(path: Path) -> str:
    """A path as people write it: `spec.predictor.containers[0].image`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _leaves(node: Any, path: Path = ()) -> Iterator[Path]:
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    if not node or not isinstance(node, Mapping | list):
        yield path
        return
    for key, value in pairs:
        yield from _leaves(value, (*path, key))
