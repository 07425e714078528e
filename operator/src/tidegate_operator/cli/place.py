"""The options that every command takes, before or after its name, as kubectl takes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

Output = Literal["table", "json", "yaml"]

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace; left out, the kubeconfig's.")
]
ContextOption = Annotated[str | None, typer.Option("--context", help="The kubeconfig's context.")]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="The kubeconfig; left out, KUBECONFIG or ~/.kube/config.")
]
OutputOption = Annotated[Output | None, typer.Option("--output", "-o", help="table (the default), json or yaml.")]


@dataclass(frozen=True)
class Place:
    """Where a command looks, and how it prints; None: not said."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    output: Output | None = None

    def or_else(self, outer: "Place") -> "Place":
        """The place, with what it doesn't say taken from `outer`."""
        return Place(
            self.namespace or outer.namespace,
            self.context or outer.context,
            self.kubeconfig or outer.kubeconfig,
            self.output or outer.output,
        )


def remember(
    context: typer.Context,
    namespace: NamespaceOption = None,
    kube_context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = None,
) -> None:
    """Look after InferenceServices: see where rollouts stand, move them on, and move in from KServe."""
    context.obj = Place(namespace, kube_context, kubeconfig, output)
