"""The cluster, user and namespace that a person means, as kubectl finds them; the official client reads the file."""

from dataclasses import dataclass

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from tidegate_operator import errors
from tidegate_operator.kube.client import in_cluster, own_namespace


class NoCluster(errors.OperatorError):
    """No kubeconfig tells which cluster is meant, or the one there is can't be used."""


@dataclass(frozen=True)
class Target:
    """Where requests go: the client's configuration, and the namespace where none is named."""

    configuration: Configuration
    namespace: str


async def locate(path: str | None = None, context: str | None = None) -> Target:
    """The cluster of `context` in the kubeconfig at `path`; left out, as kubectl fills them in.

    In a pod whose environment names no kubeconfig it is the pod's own cluster. Raises NoCluster.
    """
    configuration = Configuration()
    if path is None and context is None and in_cluster():
        load_incluster_config(client_configuration=configuration)
        return Target(configuration, own_namespace())
    try:
        # Refreshed tokens aren't written back: the file belongs to kubectl.
        loader = await load_kube_config(path, context, client_configuration=configuration, persist_config=False)
        named = loader.current_context["context"].get("namespace")
    # The official client fails by a TypeError on a context without a user, and on a file that isn't a mapping.
    except (ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
        where = path or "KUBECONFIG, or ~/.kube/config"
        raise NoCluster(f"kubeconfig ({where}): {error}: name another one with --kubeconfig or --context") from error
    return Target(configuration, named or "default")
