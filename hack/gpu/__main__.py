"""`python -m gpu --device cuda`: all checks, one page in docs/benchmarks; `--device cpu` is the dry run.

Needs the runtime, onnx and grpcio, and `hack` and `hack/conformance/src` on PYTHONPATH; nothing is downloaded.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gpu import agreement, graphs, memory, serving
from gpu.card import card, described
from gpu.finding import Finding
from gpu.report import file_name, page

DOCUMENTS = Path(__file__).parents[2] / "docs" / "benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """1 if something doesn't hold on a GPU. The dry run tells of the CPU, for which the bars aren't meant."""
    parser = argparse.ArgumentParser(prog="gpu", description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda", "tensorrt"], default="cuda")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--tokens", type=int, default=128, help="in a row of the transformer")
    parser.add_argument("--only", default="", help="agreement, graphs, memory or serving")
    parser.add_argument("--into", type=Path, default=DOCUMENTS, help="the folder of the page")
    told = parser.parse_args(arguments)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, check in _checks(told.device, Path(folder), told.tokens, told.seconds).items():
            if told.only in name:
                findings += _survived(name, check)
    for found in findings:
        print(found.name, {True: "holds", False: "FAILS", None: "-"}[found.passed], found.detail, dict(found.figures))
    (told.into / file_name(card(told.device))).write_text(page(card(told.device), described(told.device), findings))
    failed = any(found.passed is False for found in findings)
    return int(failed and told.device != "cpu")


def _checks(device: str, folder: Path, tokens: int, seconds: float) -> dict[str, Callable[[], list[Finding]]]:
    return {
        "agreement": lambda: agreement.check(device, folder, tokens),
        "graphs": lambda: graphs.check(device, folder, tokens),
        "memory": lambda: memory.check(device, folder),
        "serving": lambda: serving.check(device, folder, tokens, seconds),
    }


def _survived(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """One check that breaks doesn't cost the others: a GPU is lent for minutes."""
    try:
        return check()
    except Exception as error:
        return [Finding(name, False, f"{type(error).__name__}: {str(error)[:500]}")]


if __name__ == "__main__":
    sys.exit(main())
