"""The metadata that every object of a revision, or of a service, carries."""

from tidegate_operator import naming
from tidegate_operator.desired import Manifest, Owner


def of_revision(owner: Owner, revision: str) -> Manifest:
    """Name, labels and owner of an object that belongs to one revision and is named after it."""
    return _metadata(owner, revision, naming.revision_labels(owner["metadata"]["name"], revision))


def of_service(owner: Owner) -> Manifest:
    """Name, labels and owner of an object that belongs to the service as a whole."""
    name = owner["metadata"]["name"]
    return _metadata(owner, name, naming.service_labels(name))


def _metadata(owner: Owner, name: str, labels: dict[str, str]) -> Manifest:
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [naming.owner_reference(owner)],
    }
