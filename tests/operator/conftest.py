from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from .builders import a_service
from .operated_cluster import OperatedCluster


@pytest.fixture
def operated() -> OperatedCluster:
    """A cluster with the operator and nothing else."""
    return OperatedCluster()


@pytest.fixture
def serving(operated: OperatedCluster) -> Callable[..., Awaitable[OperatedCluster]]:
    """A cluster with a service that serves; what is given is part of its spec."""

    async def build(**spec: Any) -> OperatedCluster:
        operated.cluster.put(a_service(spec))
        await operated.settle()
        return operated

    return build
