"""Which Kubernetes this is: fields that it doesn't know are dropped by it, without a word."""

import re

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster

_DIGITS = re.compile(r"\d+")


async def kubernetes_version(cluster: Cluster) -> tuple[int, int]:
    """Major and minor version of the API server. Raises `errors.ApiError`."""
    told = await cluster.get("/version")
    try:
        # Some providers write the minor version as 33+.
        major, minor = (int(_DIGITS.findall(told[part])[0]) for part in ("major", "minor"))
    except (KeyError, TypeError, IndexError) as error:
        raise errors.Unavailable(f"/version tells no version: {told}", 0) from error
    return major, minor
