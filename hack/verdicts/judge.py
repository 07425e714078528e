"""kstatus and Flux's health check expressions, as a Go program: built once for each content of its sources."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import command
from localcluster.goprogram import GoProgram

PROGRAM = GoProgram("verdicts", Path(__file__).parent, ".", "1.26.0")


@dataclass(frozen=True)
class Verdict:
    """What is made of one object, in the words of kstatus; `flux` by the expressions."""

    kstatus: str
    flux: str
    error: str = ""
    """Why the expressions could not be evaluated."""


def ask(program: Path, expressions: Mapping[str, str], objects: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """What is made of each object, in their order.

    Raises:
        ClusterError: an expression can't be parsed, or kstatus can't read an object.
    """
    question = json.dumps({"expressions": dict(expressions), "objects": list(objects)})
    return [Verdict(**told) for told in json.loads(command.output([program], stdin=question))]
