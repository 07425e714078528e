"""The two commands as a pod runs them."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate_runtime.combinations import combination_refusal, share_refusal
from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.naming import GrpcTransport, Reason
from tidegate_runtime.termination import MAX_BYTES, message

HEAVY = ("fastapi", "numpy", "onnx", "onnxruntime", "prometheus_client", "pydantic", "starlette", "uvicorn")


def run(
    tmp_path: Path, *arguments: str, within: tuple[str, ...] = (), **environment: str
) -> tuple[int, dict[str, str], str]:
    """Exit code, termination message, log; of a command `within` another one that goes on with its arguments."""
    log = tmp_path / "termination"
    log.touch()
    result = subprocess.run(
        [*within, sys.executable, "-m", "tidegate_runtime", *arguments],
        env=os.environ | {"TIDEGATE_TERMINATION_LOG": str(log)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, json.loads(log.read_text() or "{}"), result.stderr


SHARE = "http://xds:18000/v1/share/ml/churn-6f3c9d1a"


@pytest.mark.parametrize(
    ("url", "workers", "tls", "said"),
    [
        ("", 4, True, None),
        (SHARE, 1, False, None),
        ("http://[fd00::1]/share?x=y", 1, False, None),
        (SHARE, 2, False, "--workers"),
        (SHARE, 1, True, "plain HTTP"),
        *[
            (url, 1, False, "must be a URL like http://")
            for url in (
                "xds:18000",
                "https://xds/share",
                "http://",
                "http://xds:0/",
                "http://xds:x/",
                "http://a@xds/",
                "http://xds/a b",
                "http://xds/\r\nhost: y",
                "http://[xds/",
            )
        ],
    ],
)
def test_a_share_that_cant_be_asked_for_is_refused(url: str, workers: int, tls: bool, said: str | None) -> None:
    refusal = share_refusal(url, workers, tls=tls)
    assert refusal is None if said is None else said in (refusal or "")


def test_regions_of_shared_memory_which_have_no_owner_are_refused_beside_tenants() -> None:
    refusal = combination_refusal(1, 8081, GrpcTransport.NGHTTP2, 1024, Path("tenants.json"))
    assert "--shared-memory-bytes, or --tenants-file" in (refusal or "")
    assert combination_refusal(1, 8081, GrpcTransport.NGHTTP2, 0, Path("tenants.json")) is None


def test_fetch_brings_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"model")
    code, termination, log = run(tmp_path, "fetch", f"file://{tmp_path}/a.onnx", str(tmp_path / "to"))
    assert (code, termination) == (0, {"sha256": hashlib.sha256(b"model").hexdigest()})
    assert (tmp_path / "to" / "model.onnx").read_bytes() == b"model"
    assert json.loads(log.splitlines()[-1])["message"] == "model fetched"


def test_row_18_a_volume_that_is_full_at_the_last_byte_is_too_large_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(bytes(2000))
    full = ("sh", "-c", 'ulimit -f 1; exec "$@"', "sh")  # files of at most 512 bytes, or 1,024
    uri = f"file://{tmp_path}/a.onnx"
    code, termination, _ = run(tmp_path, "fetch", uri, str(tmp_path / "to"), within=full)
    said = {"reason": "ModelTooLarge", "message": "the model can't be written: File too large"}
    assert (code, termination) == (1, said)
    assert list((tmp_path / "to").iterdir()) == []


def test_fetch_takes_its_options_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"model")
    code, termination, _ = run(
        tmp_path,
        "fetch",
        TIDEGATE_FETCH_URI="pvc://claim/a.onnx",
        TIDEGATE_FETCH_DIRECTORY=str(tmp_path / "to"),
        TIDEGATE_FETCH_PVC_ROOT=str(tmp_path),
        TIDEGATE_FETCH_SHA256="0" * 64,
    )
    assert code == 1
    assert termination["reason"] == "DigestMismatch"


def test_fetch_imports_nothing_that_only_serving_needs() -> None:
    script = (
        "import sys; from tidegate_runtime import __main__; from tidegate_runtime.fetch import fetcher;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["absent.onnx"], "ModelNotFound", id="nothing there"),
        pytest.param(["page.onnx"], "ModelInvalid", id="a web page"),
    ],
)
def test_serve_ends_with_the_reason_when_the_model_is(arguments: list[str], reason: str, tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html>")
    path = str(tmp_path / arguments[0])
    ports = ["--port", "0", "--grpc-port", "0", "--admin-port", "0"]
    code, termination, _ = run(tmp_path, "serve", path, "--host", "127.0.0.1", *ports)
    assert code == 1
    assert termination["reason"] == reason


@pytest.mark.integration
def test_serve_says_which_port_is_taken(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, termination, log = run(
            tmp_path, "serve", TIDEGATE_MODEL_PATH=str(tmp_path), TIDEGATE_HOST="127.0.0.1", TIDEGATE_PORT=port
        )
    assert (code, termination) == (1, {})
    assert f"can't listen on 127.0.0.1 port {port}: Address already in use" in log


@pytest.mark.parametrize("option", [["--device", "tpu"], ["--max-batch-size", "0"], ["--port", "70000"]])
def test_an_option_out_of_range_is_refused_with_its_name(option: list[str], tmp_path: Path) -> None:
    code, _, log = run(tmp_path, "serve", "m.onnx", *option, NO_COLOR="1")
    assert code == 2
    assert option[0] in log


@pytest.mark.parametrize("text", ["short", "x" * 10_000, "\x00é\U0001f600" * 3_000])
def test_a_termination_message_fits_what_the_kubelet_keeps(text: str) -> None:
    line = message(StartupFailure(Reason.MODEL_INVALID, text))
    assert len(line.encode()) <= MAX_BYTES
    parsed = json.loads(line)
    assert parsed["reason"] == "ModelInvalid"
    assert text.startswith(parsed["message"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--grpc-transport", "grpcio"], "grpcio can't share a port between processes"),
        (["--workers", "65"], "less than or equal to 64"),
    ],
)
def test_what_several_front_ends_cannot_do_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    code, _, log = run(tmp_path, "serve", str(tmp_path / "m.onnx"), "--workers", "2", *options)
    assert code == 2
    assert said in " ".join(log.replace("│", " ").split())


def test_a_certificate_that_no_front_end_could_use_ends_the_server_with_its_reason(tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key", "m.onnx"):
        (tmp_path / name).write_text("nothing")
    options = ["--tls-certificate", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key")]
    ports = ["--port", "0", "--grpc-port", "0", "--admin-port", "0"]
    code, termination, _ = run(tmp_path, "serve", str(tmp_path / "m.onnx"), "--workers", "2", *ports, *options)
    assert (code, termination["reason"]) == (1, "CertificateInvalid")
