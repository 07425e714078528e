"""The file with the tenants: what holds while it is exchanged, and while it is broken."""

import json
import logging
import os
from pathlib import Path

import pytest

from tidegate_runtime.access.tenants_file import TenantsFile
from tidegate_runtime.errors import StartupFailure

from .tokens import document, tenant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.json"
    path.write_bytes(document(tenant("a", "one")))
    return path


def exchange(path: Path, content: bytes) -> None:
    """As a mounted Secret is: by another file in its place."""
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.rename(path)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(getattr(record, "detail", "")) for record in caplog.records if record.levelno == logging.ERROR]


def test_a_file_that_has_not_changed_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TenantsFile(path)
    monkeypatch.setattr(TenantsFile, "_read", lambda _: pytest.fail("it was read"))
    assert file.newer() is None


def test_another_file_in_its_place_is_taken(path: Path) -> None:
    file = TenantsFile(path)
    exchange(path, document(tenant("b", "two")))
    # However coarse the file system's clock.
    os.utime(path, ns=(1, 1))
    told = file.newer()
    assert told is not None
    assert {token.tenant.name for token in told.tokens.values()} == {"b"}
    assert (file.tenants, file.newer()) == (told, None)


def test_what_became_invalid_is_told_once_and_the_last_good_one_stays(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TenantsFile(path)
    before = file.tenants
    exchange(path, document(tenant("search", "one", requestsPerSecond=0)))
    assert [file.newer(), file.newer()] == [None, None]
    (told,) = said(caplog)
    assert told.startswith('tenant "search", requestsPerSecond: ')
    assert file.tenants == before
    exchange(path, document(tenant("b", "two")))
    assert file.newer() is not None


def test_a_file_that_is_gone_for_a_while_is_told_once_and_taken_when_it_is_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TenantsFile(path)
    path.unlink()
    assert [file.newer(), file.newer()] == [None, None]
    assert said(caplog) == ["No such file or directory"]
    path.write_bytes(document(tenant("b", "two")))
    assert file.newer() is not None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"{", "JSON"),
        (document(tenant("search", "one", burst=2)), 'tenant "search", burst'),
    ],
)
def test_a_start_with_a_file_that_cannot_be_in_force_is_refused(path: Path, content: bytes | None, told: str) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupFailure) as failure:
        TenantsFile(path)
    assert failure.value.reason == "TenantsInvalid"
    assert failure.value.message.startswith("tenants.json names no tenants: ")
    assert told in failure.value.message
    assert str(path.parent) not in failure.value.message


def test_no_token_can_be_read_from_what_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = TenantsFile(path)
    exchange(path, json.dumps({"tenants": [{"name": "a", "tokens": [{"sha256": "s3cr3t"}]}]}).encode())
    caplog.set_level(logging.DEBUG)
    file.newer()
    assert caplog.records
    assert "s3cr3t" not in repr([record.__dict__ for record in caplog.records])
