"""The command line: one image, three commands."""

import gc
from collections.abc import Coroutine
from typing import Any

import typer

from tidegate_operator.install import Install
from tidegate_operator.process import logs

app = typer.Typer(help="Tidegate's controller, metrics adapter and xDS server.", no_args_is_help=True)


@app.command()
def controller() -> None:
    """Turn InferenceServices into Deployments, Services, HPAs and rollouts."""
    from tidegate_operator.controller import command  # noqa: PLC0415 - a command pays for its own imports only
    from tidegate_operator.controller.settings import ControllerSettings  # noqa: PLC0415
    from tidegate_operator.kube.watching import WatchFailed  # noqa: PLC0415
    from tidegate_operator.process import restarting  # noqa: PLC0415

    logs.configure()
    # What the imports made stays, and what is kept of services are bytes: little is left for the collector to go
    # through, but each page that is read makes ten thousands of containers without a cycle, at which it need not look.
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    install, settings = Install(), ControllerSettings()
    restarting.run(lambda: command.run(install, settings), WatchFailed)


@app.command()
def metrics_adapter() -> None:
    """Serve custom.metrics.k8s.io from the runtime's pods."""
    from tidegate_operator.adapter import command  # noqa: PLC0415
    from tidegate_operator.adapter.settings import AdapterSettings  # noqa: PLC0415

    _run(command.run(AdapterSettings()))


@app.command()
def xds() -> None:
    """Tell the routers what the InferenceServices' statuses say."""
    from tidegate_operator.xds import command  # noqa: PLC0415
    from tidegate_operator.xds.settings import XdsSettings  # noqa: PLC0415

    _run(command.run(XdsSettings()))


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415 - Windows, where kubectl-tidegate alone runs, has none

    logs.configure()
    uvloop.run(work)


if __name__ == "__main__":
    app()
