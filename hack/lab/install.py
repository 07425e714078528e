"""Tidegate in a cluster, by its chart: nothing is installed another way."""

from pathlib import Path

import yaml

from lab.kubectl import ROOT, Failed, Kubectl, Object

NAMESPACE = "tidegate-system"
IMAGES = ROOT / "artifacts" / "images.yaml"
"""The Helm values that name the images built last; `make images` writes it."""


def namespace(kubectl: Kubectl, name: str) -> None:
    """Create a namespace that enforces the `restricted` Pod Security Standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def chart(kubectl: Kubectl, *values: Path) -> None:
    """Install the chart, or upgrade it, and wait until all of it is ready."""
    namespace(kubectl, NAMESPACE)
    files = [argument for path in (IMAGES, *values) for argument in ("-f", str(path))]
    kubectl.run(
        *("upgrade", "--install", "tidegate", str(ROOT / "charts/tidegate")),
        # A CRD that was applied by hand, or left by an install of another name, is taken over.
        *("--namespace", NAMESPACE, "--take-ownership", "--wait", "--timeout", "3m", *files),
        program="helm",
    )


def runtime_image() -> str:
    """The runtime's image, as built last."""
    if not IMAGES.exists():
        raise Failed(f"{IMAGES} is missing: make images")
    image: Object = yaml.safe_load(IMAGES.read_text())["images"]["runtime"]
    return f"{image['repository']}:{image['tag']}"
