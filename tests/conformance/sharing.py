"""Shared memory for the small server: regions of objects that clients made, and requests that name them."""

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

Infer = Callable[[Any, bytes], tuple[dict[str, Any], list[bytes]]]

SHM = Path("/dev/shm")
PATH = "/v2/systemsharedmemory"
REGION, BYTES, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"


class Wrong(Exception):
    """What the client must mend."""


class Sharing:
    """The regions that a server knows. A test overrides what is to go wrong."""

    def __init__(self) -> None:
        self.regions: dict[str, dict[str, Any]] = {}

    def administer(self, path: str, body: bytes) -> Any:
        """The answer to an administrative request: a document. Raises `Wrong`."""
        words = path.removeprefix(f"{PATH}/").split("/")
        name = words[1] if words[0] == "region" else ""
        if words[-1] == "register":
            self.register(name, json.loads(body))
        elif words[-1] == "unregister":
            self.unregister(name)
        elif name and name not in self.regions:
            raise Wrong("no such region")
        else:
            return [self.told(region) for region in self.regions.values() if name in ("", region["name"])]
        return {}

    def told(self, region: dict[str, Any]) -> dict[str, Any]:
        return region

    def register(self, name: str, told: dict[str, Any]) -> None:
        path = _path(told)
        size, offset = told["byte_size"], told["offset"]
        if name in self.regions or path.parent != SHM or not path.is_file():
            raise Wrong("the region or its object is none")
        if size <= 0 or offset < 0 or offset + size > path.stat().st_size:
            raise Wrong("the region isn't in its object")
        self.regions[name] = {"name": name, **told}

    def unregister(self, name: str) -> None:
        self.regions = {key: region for key, region in self.regions.items() if name not in ("", key)}

    def place(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
        """Region, offset and size of a tensor. Raises `Wrong`."""
        if REGION not in parameters or BYTES not in parameters:
            raise Wrong("half a place")
        region = self.regions.get(parameters[REGION])
        if region is None:
            raise Wrong("no such region")
        offset, size = parameters.get(OFFSET, 0), parameters[BYTES]
        if offset < 0 or size <= 0 or offset + size > region["byte_size"]:
            raise Wrong("not within the region")
        return region, offset, size

    def read(self, region: dict[str, Any], offset: int, size: int) -> bytes:
        data = _path(region).read_bytes()[region["offset"] + offset :]
        return data[:size]

    def write(self, region: dict[str, Any], offset: int, data: bytes) -> None:
        start = region["offset"] + offset
        with (
            _path(region).open("r+b") as file,
            mmap.mmap(file.fileno(), 0) as mapped,
        ):
            mapped[start : start + len(data)] = data

    def shares(self, request: Any) -> bool:
        """Whether the request names shared memory anywhere."""
        tensors = [*request.get("inputs", ()), *request.get("outputs", ())] if isinstance(request, dict) else []
        return any({REGION, BYTES} & set(tensor.get("parameters", {})) for tensor in tensors)

    def infer(self, request: Any, infer: Infer) -> tuple[dict[str, Any], list[bytes]]:
        """The answer by `infer`, which gets as binary data what is in shared memory and gives so what is to go there.

        Raises `Wrong`.
        """
        blobs, places = b"", {}
        for entry in request["inputs"]:
            if {REGION, BYTES} & set(entry.get("parameters", {})):
                region, offset, size = self.place(entry["parameters"])
                if "data" in entry:
                    raise Wrong("data beside a place")
                blobs += self.read(region, offset, size)
                entry["parameters"] = {"binary_data_size": size}
        for entry in request.get("outputs", ()):
            if {REGION, BYTES} & set(entry.get("parameters", {})):
                places[entry["name"]] = entry["parameters"], self.place(entry["parameters"])
                entry["parameters"] = {"binary_data": True}
        document, found = infer(request, blobs)
        written = list(found)
        for output in document["outputs"]:
            if "binary_data_size" in output.get("parameters", {}):
                output["parameters"], (region, offset, size) = places[output["name"]]
                data = written.pop(0)
                if len(data) > size:
                    raise Wrong("the output's place is too small")
                self.write(region, offset, data)
        return document, []


def _path(region: dict[str, Any]) -> Path:
    key: str = region["key"]
    return SHM / key.removeprefix("/")
