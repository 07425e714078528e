"""Argo CD's way to run a script of its configuration: Lua 5.1 without the string library and the like."""

from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime, lua_type

FOLDER = Path(__file__).parents[2] / "gitops/argo-cd"
HEALTH = FOLDER / "health.lua"
_MISSING = ("string", "math", "io", "debug", "coroutine", "python")

Object = dict[str, Any]


def run(script: Path, item: Object) -> Any:
    """What a script returns for an object, tables as dicts and lists."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute('getmetatable("").__index = nil')
    for name in _MISSING:
        lua.globals()[name] = None
    lua.globals().obj = lua.table_from(item, recursive=True)
    return _plain(lua.execute(script.read_text()))


def health(item: Object) -> tuple[str, str]:
    """The health that Argo CD shows for an object, and its message."""
    told = run(HEALTH, item)
    return told["status"], told["message"]


def _plain(value: Any) -> Any:
    if lua_type(value) != "table":
        return value
    found = {key: _plain(each) for key, each in value.items()}
    return [found[key] for key in sorted(found)] if found and all(isinstance(key, int) for key in found) else found
