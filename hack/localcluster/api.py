"""The few requests that the cluster's making needs of its own servers: health, and some objects as plain JSON."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

_SECONDS = 5.0
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Api:
    """An administrator's client of a cluster whose certificates lie in `pki`. No proxy is ever asked."""

    def __init__(self, server: str, pki: Path) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._server = server
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    def get(self, path: str) -> dict[str, Any] | None:
        """The object; None if there is none.

        Raises:
            OSError: no answer, or an error other than "not found".
        """
        try:
            with self._opener.open(f"{self._server}{path}", timeout=_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as refused:
            if refused.code == 404:
                return None
            raise

    def patch(self, path: str, body: Mapping[str, Any], form: str) -> None:
        """Patch an object, in one of the forms above.

        Raises:
            OSError: no answer, or refused.
        """
        headers = {"Content-Type": form}
        request = Request(f"{self._server}{path}", json.dumps(body).encode(), headers, method="PATCH")
        self._opener.open(request, timeout=_SECONDS).close()

    def unhealthy(self, url: str) -> str | None:
        """None if the URL answers 200, else what it does instead."""
        try:
            with self._opener.open(url, timeout=_SECONDS):
                return None
        except HTTPError as refused:
            said = refused.read().decode(errors="replace").split("\n")
            # Of a list of checks, those that failed.
            failed = [line for line in said if line.startswith("[-]")]
            return f"{refused.code}: {'; '.join(failed) or said[0]}"
        except OSError as broken:
            return str(getattr(broken, "reason", broken))
