"""The Secret by which all replicas of the adapter serve with one identity."""

import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tidegate_operator import errors
from tidegate_operator.adapter.certificates import Identity, issue, needs_renewal
from tidegate_operator.adapter.names import TLS_SECRET
from tidegate_operator.kube.client import Cluster
from tidegate_operator.naming import MANAGED_BY, MANAGED_BY_LABEL

logger = logging.getLogger(__name__)


async def shared_identity(
    cluster: Cluster, namespace: str, hosts: Sequence[str], owner: Mapping[str, Any], now: datetime
) -> Identity:
    """The identity in the Secret, made or renewed first where needed; another replica's, where that was quicker.

    `owner` is the reference by which uninstalling removes it. Raises errors.ApiError.
    """
    stored = await _read(cluster, namespace)
    held = _identity(stored) if stored is not None else None
    reason = needs_renewal(held, hosts, now) if held is not None else "there is none"
    if held is not None and reason is None:
        return held
    fresh = issue(hosts, now, held)
    try:
        await _write(cluster, namespace, fresh, owner, stored)
    except errors.Conflict:
        theirs = _identity(await cluster.get(_path(namespace)))
        if needs_renewal(theirs, hosts, now) is None:
            return theirs
        raise
    logger.info("serving certificate issued", extra={"reason": reason, "hosts": list(hosts)})
    return fresh


async def _read(cluster: Cluster, namespace: str) -> Mapping[str, Any] | None:
    try:
        return await cluster.get(_path(namespace))
    except errors.NotFound:
        return None


async def _write(
    cluster: Cluster,
    namespace: str,
    identity: Identity,
    owner: Mapping[str, Any],
    stored: Mapping[str, Any] | None,
) -> None:
    meta: dict[str, Any] = {
        "name": TLS_SECRET,
        "namespace": namespace,
        "labels": {MANAGED_BY_LABEL: MANAGED_BY},
        "ownerReferences": [owner],
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta,
        "type": "kubernetes.io/tls",
        "data": {
            "ca.crt": b64encode(identity.authorities).decode(),
            "tls.crt": b64encode(identity.certificate).decode(),
            "tls.key": b64encode(identity.key).decode(),
        },
    }
    if stored is None:
        await cluster.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    else:
        meta["resourceVersion"] = stored["metadata"]["resourceVersion"]
        await cluster.replace(_path(namespace), secret)


def _identity(secret: Mapping[str, Any]) -> Identity:
    data = secret.get("data") or {}
    return Identity(
        authorities=b64decode(data.get("ca.crt", "")),
        certificate=b64decode(data.get("tls.crt", "")),
        key=b64decode(data.get("tls.key", "")),
    )


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{TLS_SECRET}"
