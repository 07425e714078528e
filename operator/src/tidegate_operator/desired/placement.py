"""Where a revision's pods may run: the fields of a pod's spec that the scheduler and the kubelet read."""

from collections.abc import Sequence

from tidegate_operator import naming
from tidegate_operator.api.placement_spec import PlacementSpec
from tidegate_operator.desired import Manifest

_ZONE, _HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_SPREAD = {"zone": (_ZONE,), "hostname": (_HOSTNAME,), "both": (_ZONE, _HOSTNAME)}


def pod_fields(placement: PlacementSpec, service: str, revision: str, pull_secrets: Sequence[str] = ()) -> Manifest:
    """The fields by which `placement` is kept, with the install's own `pull_secrets`; what neither says is absent."""
    fields: Manifest = {
        "nodeSelector": placement.node_selector,
        "tolerations": [toleration.dump() for toleration in placement.tolerations],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": naming.pod_selector(service, revision)},
            }
            for key in _SPREAD[placement.topology_spread]
        ],
        "runtimeClassName": placement.runtime_class,
        "priorityClassName": placement.priority_class,
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys((*placement.image_pull_secrets, *pull_secrets))],
    }
    return {name: value for name, value in fields.items() if value}
