"""The tenants' file of a running server: exchanged, broken, mended; and a start that it keeps from happening."""

import http.client
import json
from pathlib import Path

import pytest

from .conftest import Process, serving
from .stored_models import Repository, body, times, until
from .tokens import bearer, document, tenant

pytestmark = pytest.mark.integration

INFER = "/v2/models/mine/infer"


class Kept:
    """One connection that sends the same request again and again."""

    def __init__(self, process: Process, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        self._headers = headers | {"content-type": "application/json"}

    def status(self) -> int:
        self._connection.request("POST", INFER, json.dumps(body(1)), self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self._connection.close()


def exchange(path: Path, content: bytes) -> None:
    """As a mounted Secret is: by another file in its place."""
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.rename(path)


def test_a_file_that_is_exchanged_while_the_server_runs_counts_and_a_broken_one_does_not(
    tmp_path: Path, way: dict[str, str]
) -> None:
    stored = Repository(tmp_path / "models")
    stored.put("mine", 1, times(2))
    path = tmp_path / "tenants.json"
    path.write_bytes(document(tenant("a", "before")))
    with serving(tmp_path, stored.root, "--no-vetting", "--tenants-file", str(path)) as process:
        before, after = Kept(process, way | bearer("before")), Kept(process, way | bearer("after"))
        assert [before.status() for _ in range(3)] == [200, 200, 200]
        assert after.status() == 401
        exchange(path, document(tenant("a", "after")))
        until(lambda: before.status() == 401)
        assert after.status() == 200
        exchange(path, b'{"tenants": [{"name": "a", "tokens": [{"sha256": "s3cr3t"}]}]}')
        until(lambda: "tenants not taken" in process.log.read_text())
        assert [before.status(), after.status()] == [401, 200]
        exchange(path, document(tenant("a", "before", "after")))
        until(lambda: before.status() == 200)
        assert after.status() == 200
        for kept in (before, after):
            kept.close()
        log = process.log.read_text()
        assert 'tenant \\"a\\", tokens[0].sha256' in log
        assert not any(secret in log for secret in ("s3cr3t", "Bearer"))


def test_a_server_does_not_start_on_a_file_of_no_tenants(tmp_path: Path) -> None:
    stored = Repository(tmp_path / "models")
    stored.put("mine", 1, times(2))
    (tmp_path / "tenants.json").write_bytes(b'{"tenants": []}')
    options = ("--tenants-file", str(tmp_path / "tenants.json"))
    with serving(tmp_path, stored.root, *options, wait=False) as process:
        assert process.popen.wait(60) == 1
        assert json.loads(process.termination_log.read_text())["reason"] == "TenantsInvalid"
