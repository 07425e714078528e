"""The data port over TLS, on a running server, with certificates made for the test."""

import datetime
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import onnx
import pytest
import tritonclient.grpc as triton
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.tls import Certificate

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


@pytest.fixture
def issue(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Writes a self-signed certificate for 127.0.0.1 by that common name, and its key, always to the same two files."""

    def make(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256())
        )
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (tmp_path / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
        (tmp_path / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return tmp_path / "tls.crt", tmp_path / "tls.key"

    return make


def presented(port: int) -> tuple[str, str | None]:
    """The common name of the certificate that the server shows, and the protocol agreed on."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as secure:
        binary = secure.getpeercert(binary_form=True)
        assert binary is not None
        (name,) = x509.load_der_x509_certificate(binary).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(name.value), secure.selected_alpn_protocol()


@pytest.mark.integration
def test_the_data_port_speaks_tls_and_takes_up_a_renewed_certificate(
    serve: Callable[..., AbstractContextManager[Any]],
    double: onnx.ModelProto,
    issue: Callable[[str], tuple[Path, Path]],
) -> None:
    certificate, key = issue("first")
    options = ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    with serve(double, *options) as process:
        url = process.url("/v2/models/m/infer").replace("http:", "https:")
        with httpx2.Client(verify=ssl.create_default_context(cafile=certificate)) as client:
            for headers in ({}, {"te": "trailers"}):
                answer = client.post(url, json=BODY, headers=headers)
                assert answer.json()["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]
        assert presented(process.port) == ("first", "http/1.1")
        issue("second")
        os.utime(certificate, ns=(1, 1))
        assert presented(process.port) == ("second", "http/1.1")
        key.write_text("half a renewal")
        assert presented(process.port) == ("second", "http/1.1")


@pytest.mark.parametrize("broken", ["missing", "mismatched", "empty"])
def test_files_that_are_no_certificate_and_its_key_are_refused(
    issue: Callable[[str], tuple[Path, Path]], tmp_path: Path, broken: str
) -> None:
    certificate, key = issue("first")
    if broken == "missing":
        key.unlink()
    elif broken == "empty":
        certificate.write_text("")
    else:
        other = key.rename(tmp_path / "other.key")
        issue("second")
        key = other
    with pytest.raises(StartupFailure, match="no certificate and its key") as failure:
        Certificate(certificate, key)
    assert failure.value.reason == "CertificateInvalid"
    assert str(tmp_path) not in failure.value.message


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
@pytest.mark.integration
def test_grpc_speaks_tls_and_takes_up_a_renewed_certificate(
    transport: str,
    serve: Callable[..., AbstractContextManager[Any]],
    double: onnx.ModelProto,
    issue: Callable[[str], tuple[Path, Path]],
) -> None:
    certificate, key = issue("first")
    options = ["--tls-certificate", str(certificate), "--tls-key", str(key), "--grpc-transport", transport]
    with serve(double, *options) as process:
        address = f"127.0.0.1:{process.grpc_port}"
        with triton.InferenceServerClient(address, ssl=True, root_certificates=str(certificate)) as client:
            assert client.is_server_ready()
        assert presented(process.grpc_port) == ("first", "h2")
        key.write_text("half a renewal")
        assert presented(process.grpc_port) == ("first", "h2")
        issue("second")
        assert presented(process.grpc_port) == ("second", "h2")
