"""The command line. Each option is also an environment variable; docs/api.md lists them."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tidegate_runtime import logs, termination
from tidegate_runtime.combinations import combination_refusal, isolation_refusal, share_refusal
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.device import DeviceOptions, refusal
from tidegate_runtime.naming import ADMIN_PORT, DATA_PORT, GRPC_PORT, ConvSearch, Device, GrpcTransport, env, fetch_env

app = typer.Typer(name="tidegate-runtime", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(  # noqa: PLR0913, PLR0917 -- one parameter per option is how typer reads them
    path: Annotated[
        Path,
        typer.Argument(envvar=env("MODEL_PATH"), help="An .onnx file, a directory with one, or a model repository."),
    ],
    name: Annotated[
        str, typer.Option(envvar=env("NAME"), help="A single model's name in URLs; left out, the file's stem.")
    ] = "",
    model_version: Annotated[
        str, typer.Option(envvar=env("MODEL_VERSION"), help="What answers of a single model call model_version.")
    ] = "1",
    host: Annotated[str, typer.Option(envvar=env("HOST"))] = "0.0.0.0",
    port: Annotated[int, typer.Option(envvar=env("PORT"), min=0, max=65535, help="Data.")] = DATA_PORT,
    grpc_port: Annotated[
        int, typer.Option(envvar=env("GRPC_PORT"), min=-1, max=65535, help="Data over gRPC; -1 turns it off.")
    ] = GRPC_PORT,
    grpc_transport: Annotated[
        GrpcTransport,
        typer.Option(envvar=env("GRPC_TRANSPORT"), help="What carries gRPC; grpcio where nghttp2 was not built."),
    ] = GrpcTransport.NGHTTP2,
    admin_port: Annotated[
        int, typer.Option(envvar=env("ADMIN_PORT"), min=0, max=65535, help="Metrics and probes.")
    ] = ADMIN_PORT,
    device: Annotated[Device, typer.Option(envvar=env("DEVICE"), help="No silent fallback.")] = Device.CPU,
    max_batch_size: Annotated[
        int, typer.Option(envvar=env("MAX_BATCH_SIZE"), min=1, max=65536, help="Rows in a batch.")
    ] = 32,
    max_delay_seconds: Annotated[
        float,
        typer.Option(
            envvar=env("MAX_DELAY_SECONDS"),
            min=0,
            max=60,
            help="How long a request may be passed over for fuller batches of other shapes, "
            "or held back for company where that is computed to pay off.",
        ),
    ] = 0.005,
    queue_size: Annotated[
        int, typer.Option(envvar=env("QUEUE_SIZE"), min=1, help="Requests waiting; the next one gets 429.")
    ] = 512,
    queue_bytes: Annotated[
        int, typer.Option(envvar=env("QUEUE_BYTES"), min=1, help="Tensors of requests waiting; the next one gets 429.")
    ] = 512 * 1024 * 1024,
    max_body_bytes: Annotated[int, typer.Option(envvar=env("MAX_BODY_BYTES"), min=1)] = 64 * 1024 * 1024,
    max_element_bytes: Annotated[
        int, typer.Option(envvar=env("MAX_ELEMENT_BYTES"), min=1, help="Of one string in an input of BYTES.")
    ] = 1024 * 1024,
    reject_non_finite: Annotated[
        bool, typer.Option(envvar=env("REJECT_NON_FINITE"), help="Whether NaN and infinities in inputs are refused.")
    ] = False,
    timeout_seconds: Annotated[
        float,
        typer.Option(
            envvar=env("TIMEOUT_SECONDS"), min=0.001, help="From a request's last byte to its answer; then 504."
        ),
    ] = 30.0,
    drain_seconds: Annotated[
        float,
        typer.Option(envvar=env("DRAIN_SECONDS"), min=0, help="How long requests are still taken after SIGTERM."),
    ] = 10.0,
    threads: Annotated[
        int, typer.Option(envvar=env("THREADS"), min=0, help="ONNX Runtime's; 0: the CPUs it may use, 1 with a GPU.")
    ] = 0,
    arena_bytes: Annotated[
        int | None,
        typer.Option(
            envvar=env("ARENA_BYTES"),
            min=1 << 20,
            help="The most memory that ONNX Runtime's arena may take on the device; left out, what there is.",
            show_default=False,
        ),
    ] = None,
    graph_bytes: Annotated[
        int | None,
        typer.Option(
            envvar=env("GRAPH_BYTES"),
            min=0,
            help="What CUDA graphs may take of the device's memory, 0: no graphs; left out, 256 MiB with cuda.",
            show_default=False,
        ),
    ] = None,
    conv_search: Annotated[
        ConvSearch | None,
        typer.Option(
            envvar=env("CONV_SEARCH"),
            help="How cuDNN's kernels are chosen on a GPU; left out, heuristic: "
            "exhaustive may find faster ones, and takes up to a second for each shape that is new.",
            show_default=False,
        ),
    ] = None,
    engine_cache: Annotated[
        Path | None,
        typer.Option(
            envvar=env("ENGINE_CACHE"),
            help="A directory that keeps TensorRT's engines; left out, each start builds them, which takes minutes.",
            show_default=False,
        ),
    ] = None,
    isolate: Annotated[
        bool | None,
        typer.Option(
            "--isolate/--no-isolate",
            envvar=env("ISOLATE"),
            help="The model runs in a process of its own; with a GPU it always does.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            envvar=env("WORKERS"),
            min=1,
            max=64,
            help="Processes that read requests and write answers; with more than one, the models are in another one.",
        ),
    ] = 1,
    tls_certificate: Annotated[
        Path | None, typer.Option(envvar=env("TLS_CERTIFICATE"), help="PEM; the data port speaks TLS then.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar=env("TLS_KEY"), help="The certificate's key, PEM.")] = None,
    triton_metrics: Annotated[
        bool, typer.Option(envvar=env("TRITON_METRICS"), help="Whether Triton's names for metrics are served, too.")
    ] = False,
    trace_endpoint: Annotated[
        str, typer.Option(envvar=env("TRACE_ENDPOINT"), help="URL for traces by OTLP over HTTP; left out, none.")
    ] = "",
    trace_ratio: Annotated[
        float, typer.Option(envvar=env("TRACE_RATIO"), min=0, max=1, help="Of requests whose caller doesn't decide.")
    ] = 1.0,
    vetting: Annotated[
        bool, typer.Option(envvar=env("VETTING"), help="Whether the model is first tried out in a child process.")
    ] = True,
    warmup_seconds: Annotated[
        float | None,
        typer.Option(
            envvar=env("WARMUP_SECONDS"),
            min=1,
            max=60,
            help="What a run of the warm-up may take; left out: 60, and the first one 8 where a loop may never end.",
        ),
    ] = None,
    shared_memory_bytes: Annotated[
        int,
        typer.Option(
            envvar=env("SHARED_MEMORY_BYTES"),
            min=0,
            help="What regions of shared memory that clients on this host register may have together; 0: none.",
        ),
    ] = 0,
    share_url: Annotated[
        str,
        typer.Option(
            envvar=env("SHARE_URL"),
            help="Where to ask what share of requests a canary gets, or a copy of, over HTTP; left out, none.",
        ),
    ] = "",
    tenants_file: Annotated[
        Path | None, typer.Option(envvar=env("TENANTS_FILE"), help="JSON: whose tokens are good for what, how often.")
    ] = None,
    admin_on_data_port: Annotated[
        bool,
        typer.Option(
            envvar=env("ADMIN_ON_DATA_PORT"),
            help="Whether whoever may send requests may also load and unload models, and register shared memory.",
        ),
    ] = False,
) -> None:
    """Serve the ONNX models at PATH over the Open Inference Protocol."""
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key go together: give both, or none")
    options = DeviceOptions(
        arena_bytes, graph_bytes, conv_search and conv_search.value, str(engine_cache) if engine_cache else None
    )
    isolated = device is not Device.CPU or bool(isolate)
    refused = refusal(device.value, options) or isolation_refusal(device, isolate)
    refused = refused or combination_refusal(workers, grpc_port, grpc_transport, shared_memory_bytes, tenants_file)
    refused = refused or share_refusal(share_url, workers, tls=tls_certificate is not None)
    if refused is not None:
        raise typer.BadParameter(refused)

    def run() -> None:
        # Not imported above, so that `fetch` stays small: these bring ONNX Runtime and FastAPI.
        import uvloop  # noqa: PLC0415

        from tidegate_runtime.served_model import Limits  # noqa: PLC0415
        from tidegate_runtime.settings import ServeSettings  # noqa: PLC0415
        from tidegate_runtime.web.server import serve as serve_model  # noqa: PLC0415

        settings = ServeSettings(
            path=path,
            name=name,
            model_version=model_version,
            host=host,
            port=port,
            grpc_port=grpc_port,
            admin_port=admin_port,
            device=device.value,
            threads=threads,
            drain_seconds=drain_seconds,
            grpc_transport=grpc_transport,
            vetting=vetting,
            admin_on_data_port=admin_on_data_port,
            limits=Limits(
                max_batch_size,
                max_delay_seconds,
                queue_size,
                max_body_bytes,
                timeout_seconds,
                queue_bytes,
                max_element_bytes,
                reject_non_finite,
            ),
            isolate=isolated,
            options=options,
            tls=(tls_certificate, tls_key) if tls_certificate and tls_key else None,
            triton_metrics=triton_metrics,
            trace_endpoint=trace_endpoint,
            trace_ratio=trace_ratio,
            shared_memory_bytes=shared_memory_bytes,
            workers=workers,
            warmup_seconds=warmup_seconds,
            share_url=share_url,
            tenants_file=tenants_file,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_model(settings))

    _leave(_exit_code(run))


@app.command()
def fetch(
    uri: Annotated[str, typer.Argument(envvar=fetch_env("URI"), help="http, https, file or pvc.")],
    directory: Annotated[Path, typer.Argument(envvar=fetch_env("DIRECTORY"), help="Where model.onnx will be.")],
    sha256: Annotated[
        str, typer.Option(envvar=fetch_env("SHA256"), help="64 hex digits; checked before the file is there.")
    ] = "",
    pvc_root: Annotated[
        Path, typer.Option(envvar=fetch_env("PVC_ROOT"), help="Where the claim of a pvc:// URI is mounted.")
    ] = Path("/pvc"),
    max_bytes: Annotated[
        int, typer.Option(envvar=fetch_env("MAX_BYTES"), min=1, help="The largest file that is taken.")
    ] = 16 * 1024**3,
) -> None:
    """Bring the model at URI to DIRECTORY/model.onnx."""

    def run() -> None:
        from tidegate_runtime.fetch.fetcher import fetch_model  # noqa: PLC0415

        fetched = fetch_model(uri, directory, expected_sha256=sha256, pvc_root=pvc_root, max_bytes=max_bytes)
        termination.tell_fetched(fetched)

    _leave(_exit_code(run))


def _exit_code(run: Callable[[], None]) -> int:
    logs.set_up()
    try:
        run()
    except StartupFailure as failure:
        termination.report(failure)
        return 1
    except OSError as error:
        logging.getLogger(__name__).error("can't go on", extra={"detail": str(error)})
        return 1
    return 0


def _leave(code: int) -> None:
    """Ends the process. A load or a run that hangs in native code can't be joined, so nothing is waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    app()
