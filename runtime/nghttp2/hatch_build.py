"""Compiles libnghttp2 and the shim into one library without dependencies, beside the Python that loads it.

It needs a C compiler, and nothing of Python's: `$CC`, else cc, gcc or clang, else the compiler of the package
`ziglang`. Without one the package is built all the same, and says so when it is used; with TIDEGATE_NGHTTP2=required
the build fails.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = (
    "-O2",
    "-std=gnu11",
    "-fPIC",
    "-shared",
    "-s",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    "-DNDEBUG",
    "-DNGHTTP2_STATICLIB",
    "-DHAVE_ARPA_INET_H",
    "-DHAVE_NETINET_IN_H",
    "-DHAVE_CLOCK_GETTIME",
    "-DHAVE_DECL_CLOCK_MONOTONIC=1",
)


class Compile(BuildHookInterface):
    """The wheel's and the editable install's hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes the library; the wheel is for this platform alone, but for any Python."""
        root = Path(self.root)
        library = root / "src/tidegate_nghttp2/_shim.so"
        library.unlink(missing_ok=True)
        verify(root / "vendor/nghttp2")
        compiler = find_compiler()
        why = compile_library(compiler, root, library) if compiler else "no C compiler was found"
        if why is None:
            build_data["pure_python"] = False
            # Of Python it needs nothing, so any will do, on this platform.
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        elif os.environ.get("TIDEGATE_NGHTTP2") == "required":
            raise RuntimeError(f"libnghttp2 can't be built: {why}")
        else:
            self.app.display_warning(f"built without libnghttp2, so gRPC will be served by grpcio: {why}")


def verify(vendor: Path) -> None:
    """Raises `RuntimeError` unless each vendored file is as it was when it was taken."""
    for line in (vendor / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        if hashlib.sha256((vendor / name).read_bytes()).hexdigest() != digest:
            raise RuntimeError(
                f"vendor/nghttp2/{name} is not the file of SHA256SUMS; vendor/README.md tells how to update"
            )


def find_compiler() -> list[str] | None:
    """The command of a C compiler; None if there is none."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def compile_library(compiler: list[str], root: Path, library: Path) -> str | None:
    """Writes the library; if it can't, returns why."""
    lib = root / "vendor/nghttp2/lib"
    sources = [root / "c/shim.c", *sorted(lib.glob("*.c"))]
    command = [
        *compiler,
        *FLAGS,
        f"-I{library.parent}",
        f"-I{lib}/includes",
        f"-I{lib}",
        *map(str, sources),
        "-o",
        str(library),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    return None if done.returncode == 0 else f"{shlex.join(compiler)} failed:\n{done.stderr[-2000:]}"
