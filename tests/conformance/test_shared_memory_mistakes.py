"""The checks of shared memory can fail, and they are skipped where the server can't see this host's memory."""

from typing import Any

import pytest

from tidegate_conformance import checks
from tidegate_conformance.check import ALL
from tidegate_conformance.run import Verdict
from tidegate_conformance.shared_memory import EXTENSION, on_this_host

from .one_check import result_of
from .sharing import Sharing, Wrong

checks.load()
OURS = [name for name in ALL if name.startswith(("rest.shared-memory.", "admin.shared-memory."))]


class WritesNothing(Sharing):
    def write(self, region: dict[str, Any], offset: int, data: bytes) -> None:
        pass


class ForgetsOffsets(Sharing):
    def write(self, region: dict[str, Any], offset: int, data: bytes) -> None:
        super().write(region, 0, data)


class CountsFromTheObject(Sharing):
    def read(self, region: dict[str, Any], offset: int, size: int) -> bytes:
        return super().read(region | {"offset": 0}, offset, size)


class WritesMore(Sharing):
    def write(self, region: dict[str, Any], offset: int, data: bytes) -> None:
        super().write(region, offset, data + b"\0")


class KeepsWhatItRead(Sharing):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, bytes] = {}

    def read(self, region: dict[str, Any], offset: int, size: int) -> bytes:
        return self.kept.setdefault(offset, super().read(region, offset, size))


class Remembers(Sharing):
    """Regions stay usable once they are unregistered, though they aren't listed."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Any] = {}

    def register(self, name: str, told: dict[str, Any]) -> None:
        super().register(name, told)
        self.known |= self.regions

    def place(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
        listed, self.regions = self.regions, self.known
        try:
            return super().place(parameters)
        finally:
            self.regions = listed


class NeverForgets(Sharing):
    def unregister(self, name: str) -> None:
        pass


class ForgetsOne(Sharing):
    def unregister(self, name: str) -> None:
        super().unregister(name or next(iter(self.regions), ""))


class TakesAnyOffset(Sharing):
    def place(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
        region, _, _ = super().place(parameters | {"shared_memory_offset": 0})
        return region, parameters.get("shared_memory_offset", 0), parameters["shared_memory_byte_size"]


class TellsNoOffset(Sharing):
    def told(self, region: dict[str, Any]) -> dict[str, Any]:
        return region | {"offset": 0}


class TakesAnyObject(Sharing):
    def register(self, name: str, told: dict[str, Any]) -> None:
        self.regions[name] = {"name": name, **told}


class Replaces(Sharing):
    def register(self, name: str, told: dict[str, Any]) -> None:
        self.regions.pop(name, None)
        super().register(name, told)


class WritesBeforeItRefuses(Sharing):
    def place(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
        try:
            return super().place(parameters)
        except Wrong:
            for region in self.regions.values():
                self.write(region, 0, b"\0")
            raise


MISTAKES: list[tuple[str, type[Sharing]]] = [
    ("rest.shared-memory.output", WritesNothing),
    ("rest.shared-memory.both", ForgetsOffsets),
    ("rest.shared-memory.region-offset", CountsFromTheObject),
    ("rest.shared-memory.region-offset", WritesMore),
    ("rest.shared-memory.rewritten", KeepsWhatItRead),
    ("rest.shared-memory.unregistered", Remembers),
    ("rest.shared-memory.bad-input.beyond-region", TakesAnyOffset),
    ("rest.shared-memory.bad-output.unknown-region", WritesBeforeItRefuses),
    ("admin.shared-memory.register", NeverForgets),
    ("admin.shared-memory.register", TellsNoOffset),
    ("admin.shared-memory.unregister-all", ForgetsOne),
    ("admin.shared-memory.no-such-object", TakesAnyObject),
    ("admin.shared-memory.beyond-object", TakesAnyObject),
    ("admin.shared-memory.register-again", Replaces),
]


@pytest.mark.parametrize(("check", "mistake"), MISTAKES)
def test_found_is(serve: Any, check: str, mistake: type[Sharing]) -> None:
    with serve(sharing=mistake()) as endpoint:
        result = result_of(check, endpoint)
    assert result.verdict is Verdict.FAILED, result
    assert result.detail


def test_an_output_in_the_answer_beside_its_place_is_found(serve: Any) -> None:
    def mistake(reply: Any) -> Any:
        for output in reply.document["outputs"] if reply.request else ():
            output.setdefault("data", [0.0] * 8)
        return reply

    with serve(mistake, Sharing()) as endpoint:
        assert "has no data" in result_of("rest.shared-memory.output", endpoint).detail


@pytest.mark.parametrize("check", OURS)
def test_a_right_server_passes(serve: Any, check: str) -> None:
    with serve(sharing=Sharing()) as endpoint:
        result = result_of(check, endpoint)
    assert (result.verdict, result.detail) == (Verdict.PASSED, "")


def test_without_the_extension_or_on_another_host_they_are_skipped(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as endpoint:
        result = result_of("rest.shared-memory.both", endpoint)
    assert (result.verdict, EXTENSION in result.detail) == (Verdict.SKIPPED, True)
    monkeypatch.setattr("tidegate_conformance.shared_memory.on_this_host", lambda _: False)
    with serve(sharing=Sharing()) as endpoint:
        result = result_of("rest.shared-memory.both", endpoint)
    assert (result.verdict, result.detail) == (Verdict.SKIPPED, "shared memory needs the server on this host")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://192.0.2.1:8080", False),  # RFC 5737: documentation's, so no machine's
        ("http://no-such-host.invalid", False),  # RFC 2606
    ],
)
def test_a_server_is_on_this_host_where_its_address_is_ours(url: str, here: bool) -> None:
    assert on_this_host(url) is here
