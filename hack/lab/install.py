"""Tidegate in a cluster, by its chart: nothing is installed another way."""

from pathlib import Path

import yaml

from lab.kubectl import ROOT, Failed, Kubectl, Object

NAMESPACE = "tidegate-system"
CRD = "inferenceservices.tidegate.dev"
_IMAGES = Path("artifacts/images.yaml")
"""In a tree: the Helm values that name the images built from it last; `hack/images` writes it."""


def namespace(kubectl: Kubectl, name: str) -> None:
    """Create a namespace that enforces the `restricted` Pod Security Standard, when one that is ending is gone."""
    found = kubectl.get("namespaces", "--field-selector", f"metadata.name={name}")["items"]
    if any("deletionTimestamp" in each["metadata"] for each in found):
        kubectl.run("wait", f"namespace/{name}", "--for=delete", "--timeout=180s")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def chart(kubectl: Kubectl, *values: Path, tree: Path = ROOT) -> None:
    """Install the chart of a tree, or upgrade to it, and wait until all of it is ready."""
    namespace(kubectl, NAMESPACE)
    files = [argument for path in (_images(tree), *values) for argument in ("-f", str(path))]
    kubectl.run(
        *("upgrade", "--install", "tidegate", str(tree / "charts/tidegate")),
        # A CRD that was applied by hand, or left by an install of another name, is taken over.
        *("--namespace", NAMESPACE, "--take-ownership", "--wait", "--timeout", "3m", *files),
        program="helm",
    )


def remove(kubectl: Kubectl) -> None:
    """Uninstall the chart, and remove the CRD, which outlives it; raises Failed where a service would go with it."""
    if not kubectl.names("crd", CRD, "--ignore-not-found"):
        return
    if kubectl.names("isv", "--all-namespaces"):
        raise Failed(
            "the cluster has InferenceServices, which would go with their CRD: delete them, or make cluster-down"
        )
    kubectl.run("uninstall", "tidegate", "--namespace", NAMESPACE, "--ignore-not-found", "--wait", program="helm")
    kubectl.run("delete", "crd", CRD, "--wait")


def runtime_image(tree: Path = ROOT) -> str:
    """The runtime's image, as built last from a tree."""
    return _image("runtime", tree)


def router_image(tree: Path = ROOT) -> str:
    """The router's image, which has Envoy, as built last from a tree."""
    return _image("router", tree)


def _image(name: str, tree: Path) -> str:
    image: Object = yaml.safe_load(_images(tree).read_text())["images"][name]
    return f"{image['repository']}:{image['tag']}"


def _images(tree: Path) -> Path:
    path = tree / _IMAGES
    if not path.exists():
        raise Failed(f"{path} is missing: make images")
    return path
