"""One InferenceService in a cluster, as the demo and the tests handle it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.kubectl import Kubectl, Object


@dataclass(frozen=True)
class Service:
    """An InferenceService by name."""

    kubectl: Kubectl
    namespace: str
    name: str

    @property
    def url(self) -> str:
        """Where its model is asked, from inside the cluster."""
        return f"http://{self.name}.{self.namespace}/v2/models/{self.name}/infer"

    @property
    def grpc_url(self) -> str:
        """The same by gRPC; the path is the model's name alone."""
        return f"grpc://{self.name}.{self.namespace}:8081/{self.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """Kubectl's words for the object."""
        return ("-n", self.namespace, "isv", self.name)

    def apply(self, spec: Object) -> None:
        """Apply the object."""
        metadata = {"name": self.name, "namespace": self.namespace}
        self.kubectl.apply(
            {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
        )

    def delete(self) -> None:
        """Delete the object and wait until it is gone."""
        self.kubectl.run("delete", *self.words, "--ignore-not-found", "--wait")

    @property
    def status(self) -> Object:
        """Its status now."""
        found: Object = self.kubectl.get(*self.words).get("status", {})
        return found

    def events(self) -> list[Object]:
        """Its events, in the order in which they were written."""
        about = f"involvedObject.name={self.name}"
        found = self.kubectl.get("-n", self.namespace, "events", "--field-selector", about)
        return sorted(found["items"], key=lambda event: str(event["firstTimestamp"]))

    def until(self, reached: Callable[[Object], bool], for_what: str, seconds: float = 90) -> Object:
        """The first status that `reached` accepts; see `Kubectl.wait`."""
        item = self.kubectl.wait(
            lambda found: reached(found.get("status", {})), self.words, for_what=for_what, seconds=seconds
        )
        status: Object = item["status"]
        return status

    def until_condition(
        self, kind: str, truth: str = "True", *, reason: str | None = None, seconds: float = 90
    ) -> Object:
        """The first status in which a condition of the current generation has `truth` (and `reason`)."""

        def holds(item: Object) -> bool:
            found = condition(item.get("status", {}), kind)
            return (
                found is not None
                and found["status"] == truth
                and found["observedGeneration"] == item["metadata"]["generation"]
                and reason in (None, found["reason"])
            )

        wanted = f"to have {kind}={truth}" + (f" because {reason}" if reason else "")
        item = self.kubectl.wait(holds, self.words, for_what=wanted, seconds=seconds)
        status: Object = item["status"]
        return status

    def until_weight(self, weight: int, seconds: float = 90) -> Object:
        """The first status in which the canary has this weight."""
        return self.until(
            lambda status: status.get("canary", {}).get("weight") == weight, f"to have a canary at {weight} %", seconds
        )

    def request(self, action: str, revision: str, identity: str, **more: Any) -> None:
        """Write a request into the status, as a person or a pipeline does."""
        request = {"action": action, "revision": revision, "id": identity, **more}
        patch = json.dumps({"status": {"rollout": {"request": request}}})
        self.kubectl.run("patch", *self.words, "--subresource=status", "--type=merge", "-p", patch)

    def until_answered(self, identity: str, seconds: float = 30) -> Object:
        """The answer to a request."""
        status = self.until(
            lambda status: status.get("rollout", {}).get("lastRequest", {}).get("id") == identity,
            f"to answer request {identity}",
            seconds,
        )
        answer: Object = status["rollout"]["lastRequest"]
        return answer


def small(model: Object) -> Object:
    """A spec that fits a small node, with one canary step at 10 % that waits for approval."""
    return {
        "model": model,
        "runtime": {"device": "cpu"},
        "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}},
        "rollout": {"steps": [{"weight": 10, "hold": "1s"}], "approval": "Manual", "scaleDownDelay": "1s"},
    }


def condition(status: Object, kind: str) -> Object | None:
    """A condition of a status by its type."""
    found: list[Object] = [entry for entry in status.get("conditions", []) if entry["type"] == kind]
    return found[0] if found else None
