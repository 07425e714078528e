"""Compiles a package's C sources into one library without dependencies, beside the Python that loads it.

It needs a C compiler, and nothing of Python's: `$CC`, else cc, gcc or clang, else the compiler of the package
`ziglang`. Without one the package is built all the same, and says so when it is used; if the variable that its
pyproject.toml names holds `required`, the build fails.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-s", "-fvisibility=hidden", "-fstack-protector-strong", "-DNDEBUG")


class Compile(BuildHookInterface):
    """The wheel's and the editable install's hook; the table that names it in pyproject.toml says what is compiled."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes the library; the wheel is for this platform alone, but for any Python."""
        root = Path(self.root)
        library = root / self.config["library"]
        library.unlink(missing_ok=True)
        if vendored := self.config.get("vendored"):
            verify(root / vendored)
        compiler = find_compiler()
        why = compile_library(compiler, root, self.config, library) if compiler else "no C compiler was found"
        if why is None:
            build_data["pure_python"] = False
            # Of Python it needs nothing, so any will do, on this platform.
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        elif os.environ.get(self.config["required-by"]) == "required":
            raise RuntimeError(f"{self.config['what']} can't be built: {why}")
        else:
            self.app.display_warning(f"built without {self.config['what']}, so {self.config['without']}: {why}")


def verify(vendored: Path) -> None:
    """Raises `RuntimeError` unless each vendored file is as it was when it was taken."""
    for line in (vendored / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        if hashlib.sha256((vendored / name).read_bytes()).hexdigest() != digest:
            raise RuntimeError(
                f"{vendored.name}/{name} is not the file of SHA256SUMS; the README.md beside it tells how to update"
            )


def find_compiler() -> list[str] | None:
    """The command of a C compiler; None if there is none."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def compile_library(compiler: list[str], root: Path, config: Mapping[str, Any], library: Path) -> str | None:
    """Writes the library of the package at `root`; if it can't, returns why."""
    sources = sorted(path for pattern in config["sources"] for path in root.glob(pattern))
    includes = [f"-I{root / folder}" for folder in config["includes"]]
    flags = [*FLAGS, *config.get("flags", ())]
    command = [*compiler, *flags, *includes, *map(str, sources), "-o", str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    return None if done.returncode == 0 else f"{shlex.join(compiler)} failed:\n{done.stderr[-2000:]}"
