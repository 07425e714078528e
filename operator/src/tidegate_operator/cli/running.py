"""How a command is run: with the options that all take, its errors told on standard error, its exit code kept."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import typer

from tidegate_operator import errors
from tidegate_operator.cli.desk import Desk
from tidegate_operator.cli.exits import code_of
from tidegate_operator.cli.place import ContextOption, KubeconfigOption, NamespaceOption, Output, OutputOption, Place

_SHARED = {
    "context": typer.Context,
    "namespace": NamespaceOption,
    "kube_context": ContextOption,
    "kubeconfig": KubeconfigOption,
    "output": OutputOption,
}


def command(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """`work` as Typer takes it: with the shared options after its own, and run to its end.

    Typer reads a signature, so the options are added to it; `work` gets a desk in their stead, as its first argument.
    """

    def run(
        context: typer.Context,
        namespace: str | None,
        kube_context: str | None,
        kubeconfig: Path | None,
        output: Output | None,
        **own: Any,
    ) -> None:
        desk = Desk(Place(namespace, kube_context, kubeconfig, output).or_else(context.obj or Place()))
        try:
            asyncio.run(work(desk, **own))
        except errors.OperatorError as error:
            desk.say(f"error: {error}")
            raise typer.Exit(code_of(error)) from error

    own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
    kinds = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, kinds, annotation=annotation, default=None) for name, annotation in _SHARED.items()
    ]
    parameters = [parameter.replace(kind=kinds) for parameter in own] + shared
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__, run.__doc__ = work.__name__, work.__doc__
    return run
