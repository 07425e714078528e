"""What the API server's audit log tells of the controllers' calls."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_READS = frozenset({"get", "list", "watch"})


@dataclass(frozen=True)
class Call:
    """A request that was answered."""

    user: str
    verb: str
    resource: str
    """`resource` or `resource/subresource`."""
    status: int
    at: datetime
    """When it was received."""

    @property
    def writes(self) -> bool:
        """Whether it was to change something."""
        return self.verb not in _READS

    @property
    def leads(self) -> bool:
        """Whether it was for the Lease."""
        return self.resource == "leases"


def calls(lines: Iterable[str]) -> list[Call]:
    """The calls that an audit log in JSON lines tells of; a watch is told when it ends."""
    found = []
    for line in lines:
        event = json.loads(line)
        about = event.get("objectRef", {})
        resource = "/".join(filter(None, (about.get("resource", event["requestURI"]), about.get("subresource"))))
        at = datetime.fromisoformat(event["requestReceivedTimestamp"])
        found.append(
            Call(event["user"]["username"], event["verb"], resource, event.get("responseStatus", {}).get("code", 0), at)
        )
    return found


def read(log: Path, offset: int = 0) -> tuple[list[Call], int]:
    """The calls that were logged from `offset` on, and where the log ends now."""
    with log.open("rb") as told:
        told.seek(offset)
        text = told.read()
    # A line that is still being written belongs to the next reading.
    end = text.rfind(b"\n") + 1
    return calls(text[:end].decode().splitlines()), offset + end


def table(found: Iterable[Call], services: int) -> str:
    """Calls by verb and resource for each service, as Markdown."""
    counted = Counter((call.verb, call.resource, "" if call.status < 400 else str(call.status)) for call in found)
    rows = [
        f"| {verb} {resource} {failed} | {count / services:.2f} |"
        for (verb, resource, failed), count in counted.most_common()
        if count / services >= 0.005
    ]
    return "\n".join(["| call | a service |", "| --- | ---: |", *rows])
