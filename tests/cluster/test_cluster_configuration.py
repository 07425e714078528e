import json
from base64 import b64decode
from ipaddress import IPv4Network

import pytest

from localcluster import configuration, gpus, hostnetwork, kind
from localcluster.addresses import divide
from localcluster.cgroups import hierarchies
from localcluster.components import components
from localcluster.record import Wishes
from localcluster.settings import Settings

SETTINGS = Settings("tests", divide(IPv4Network("10.70.0.0/16")), hpa_sync_seconds=3)


def test_components_start_after_what_they_need() -> None:
    started: set[str] = set()
    for component in components(SETTINGS):
        assert set(component.needs) <= started
        started.add(component.name)


def test_every_component_tells_its_health_at_a_place_of_its_own() -> None:
    places = [component.health for component in components(SETTINGS)]
    assert len(set(places)) == len(places)
    assert all(place.startswith(("/", "http://10.70.255.254:", "https://10.70.255.254:")) for place in places)


def test_the_ranges_and_the_autoscalers_pace_reach_their_components() -> None:
    said = {component.name: component.argv for component in components(SETTINGS)}
    assert "--service-cluster-ip-range=10.70.128.0/18" in said["kube-apiserver"]
    assert "--horizontal-pod-autoscaler-sync-period=3s" in said["kube-controller-manager"]
    assert json.loads(configuration.kube_proxy(SETTINGS))["clusterCIDR"] == "10.70.0.0/17"
    pods = json.loads(configuration.cni(SETTINGS, mtu=1400))["plugins"][0]
    assert (pods["mtu"], pods["ipam"]["ranges"]) == (1400, [[{"subnet": "10.70.0.0/17"}]])


def test_the_kubelet_neither_evicts_for_the_disk_nor_collects_images() -> None:
    kubelet = json.loads(configuration.kubelet(SETTINGS))
    assert set(kubelet["evictionHard"].values()) == {"0%"}
    assert kubelet["imageGCHighThresholdPercent"] == 100


def test_a_kubeconfig_holds_its_certificates() -> None:
    written = json.loads(configuration.kubeconfig("https://10.70.255.254:6443", b"authority", b"certificate", b"key"))
    cluster, user = written["clusters"][0]["cluster"], written["users"][0]["user"]
    assert cluster["server"] == "https://10.70.255.254:6443"
    assert b64decode(cluster["certificate-authority-data"]) == b"authority"
    assert b64decode(user["client-certificate-data"]) == b"certificate"
    assert b64decode(user["client-key-data"]) == b"key"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 10.0.0.53\nsearch home\n", ("10.0.0.53",)),
        ("# nameserver 1.1.1.1\nnameserver 127.0.0.53\n", ()),
        ("nameserver ::1\nnameserver 9.9.9.9\nnameserver\n", ("9.9.9.9",)),
        ("", ()),
    ],
    ids=["one", "a stub on loopback", "IPv6, which the link lacks", "none"],
)
def test_only_nameservers_that_the_node_can_reach_are_asked(text: str, found: tuple[str, ...]) -> None:
    assert configuration.nameservers(text) == found


def test_dns_forwards_only_where_there_is_somebody_to_ask() -> None:
    assert "forward . 10.0.0.53 10.0.0.54\n" in configuration.corefile(["10.0.0.53", "10.0.0.54"])
    assert "forward" not in configuration.corefile([])


def test_what_leaves_the_cluster_is_masqueraded_by_one_table_of_its_own() -> None:
    rules = hostnetwork.masquerade("tidegate_ab", "tg-ab", SETTINGS.addresses)
    assert 'ip saddr { 10.70.0.0/17, 10.70.255.252/30 } oifname != "tg-ab" masquerade' in rules
    assert {line.split()[2] for line in rules.splitlines() if "table ip" in line} <= {"tidegate_ab", "ip"}


V1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
BOTH = V1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "points"),
    [
        (V1, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"]),
        (V2, ["/sys/fs/cgroup"]),
        (BOTH, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]),
    ],
    ids=["version 1", "version 2", "both"],
)
def test_control_groups_are_found_in_every_hierarchy(mounts: str, points: list[str]) -> None:
    assert [str(point) for point in hierarchies("proc /proc proc rw 0 0\n" + mounts)] == points


def test_gpus_are_told_as_capacity_and_as_allocatable() -> None:
    assert gpus.status_patch(4) == {
        "status": {"capacity": {"nvidia.com/gpu": "4"}, "allocatable": {"nvidia.com/gpu": "4"}}
    }


def test_kind_is_told_the_wished_ranges_and_leaves_out_the_others() -> None:
    made = kind.configuration(Wishes(pods=IPv4Network("10.1.0.0/16"), hpa_sync_seconds=9))
    assert made["networking"] == {"podSubnet": "10.1.0.0/16"}
    assert all('"9s"' in patch for patch in made["kubeadmConfigPatches"])
