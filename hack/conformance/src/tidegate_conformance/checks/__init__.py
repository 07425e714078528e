"""The checks, one module an area. Importing a module declares its checks."""

import importlib
import pkgutil


def load() -> None:
    """Declares all checks, in the order of the modules' names."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
