"""The command line. What a script reads goes to stdout, progress to stderr."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imagebuild.base import choose_base
from imagebuild.catalog import DEFAULT, IMAGES, helm_values, select
from imagebuild.errors import BuildError
from imagebuild.pipeline import Built, build_images
from localcluster.files import cache_home, locked
from localcluster.progress import Progress

_ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_intermixed_args(argv)
    try:
        built = _build(options.images, choose_base(options.base))
    except (BuildError, OSError) as error:
        print(f"hack/images: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    values = helm_values({one.image.name: one.archive.tag for one in built})
    if not options.images:
        path = _ROOT / "artifacts" / "images.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(values)
    match options.command:
        case "archive":
            print("\n".join(str(one.archive.path) for one in built))
        case "values":
            sys.stdout.write(values)
        case _:
            print(_table(built))
    return 0


def _build(names: Sequence[str], base: str) -> list[Built]:
    progress = Progress(every_seconds=5)
    images = select(names)
    cache = cache_home()
    with locked(cache / "images", lambda: progress.say("waiting for another build to end")):
        return build_images(images, base, _ROOT, cache, progress)


def _table(built: Sequence[Built]) -> str:
    rows = [("IMAGE", "STATE", "SIZE", "ARCHIVE", "")]
    for one in built:
        state = f"built in {one.seconds:.1f} s" if one.seconds else "unchanged"
        megabytes = f"{one.archive.path.stat().st_size / 1e6:.0f} MB"
        rows.append((one.archive.reference, state, one.size or "-", megabytes, str(one.archive.path)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/images",
        description="Build the container images whose files have changed. Without IMAGE also writes "
        "artifacts/images.yaml, the Helm values that name what was built.",
    )
    prints = {
        "build": "a table",
        "archive": "the archives' paths, to be imported into a cluster",
        "values": "Helm values",
    }
    parser.add_argument(
        "command", choices=list(prints), help="; ".join(f"{name} prints {it}" for name, it in prints.items())
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help=f"of {', '.join(IMAGES)}; default: {', '.join(DEFAULT)}"
    )
    parser.add_argument(
        "--base",
        metavar="REF",
        help="the image to build upon, with Python 3.11 or newer; default: python:3.12-slim where Docker Hub answers, "
        "else one made of Debian packages",
    )
    return parser
