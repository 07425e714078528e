"""One HTTP answer as it came."""

import json
from dataclasses import dataclass, field
from typing import Any

from tidegate_conformance.expect import Mismatch, Skip, equal, fail, member, shown, true


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers with lower-case names, body, and what came before: statuses such as 100."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple[int, ...] = field(default=())
    closes: bool = False
    """Whether the server says or shows that the connection ends with this answer."""

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The body parsed. Raises `Mismatch` unless it is strict JSON that is declared as such."""
        kind = (self.header("content-type") or "").partition(";")[0].strip()
        equal("Content-Type of a JSON answer", "application/json", kind)
        return parse_json(self.body)

    def must_be(self, *statuses: int) -> "Answer":
        """Itself. Raises `Mismatch` unless the status is one of `statuses`."""
        if self.status not in statuses:
            fail("HTTP status", " or ".join(map(str, statuses)), self.status)
        return self

    def opened(self) -> "Answer":
        """Itself. Raises `Skip` where the server is set up not to let this client in, `Mismatch` if it isn't a 200."""
        if self.status in (401, 403):
            raise Skip(f"the server refuses this to clients without credentials: {self.status}")
        return self.must_be(200)

    def refusal(self, *statuses: int) -> str:
        """The message of a refusal with one of `statuses`, or, without any, with a 4xx or 5xx.

        Raises `Mismatch` unless the body is `{"error": string}`.
        """
        if statuses:
            self.must_be(*statuses)
        true("a request that can't be honoured gets an error status", 400 <= self.status < 600, self.status)
        message: str = member(parse_json(self.body), "error", str, "an error's body")
        true("the error says something", bool(message.strip()), message)
        return message


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no name twice in an object. Raises `Mismatch`."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise Mismatch(f"an object of the answer names a member twice: {shown(names)}")
        return dict(pairs)

    def constant(literal: str) -> None:
        raise Mismatch(f"the answer holds {literal}, which is not JSON")

    try:
        return json.loads(body.decode(), object_pairs_hook=members, parse_constant=constant)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Mismatch(f"the answer is not JSON: {error}; got {shown(body)}") from None
