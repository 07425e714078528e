import pytest

from localcluster import gobuild, pins
from localcluster.errors import ClusterError
from localcluster.pins import Pins

GO_MOD = """module example
// k8s.io/kubernetes v0.0.1 in a comment
go 1.26.0

require (
	github.com/coredns/coredns v1.14.7
	go.etcd.io/etcd/server/v3 v3.7.3
	helm.sh/helm/v4 v4.3.1
	k8s.io/kubernetes v1.37.2 // indirect
)

replace k8s.io/api => k8s.io/api v0.37.2
"""


def test_go_mod_pins_every_release() -> None:
    assert pins.parse(GO_MOD) == Pins("v1.37.2", "v3.7.3", "v1.14.7", "v4.3.1", go="1.26.0")


def test_a_missing_requirement_is_named() -> None:
    with pytest.raises(ClusterError, match=r"helm\.sh/helm/v4"):
        pins.parse(GO_MOD.replace("helm.sh/helm/v4 v4.3.1", ""))


def test_the_checkouts_own_go_mod_can_be_read() -> None:
    assert pins.read().kubernetes.startswith("v1.")


def test_the_cache_key_is_stable_and_follows_the_flags() -> None:
    assert pins.digest("a") == pins.digest("a")
    assert pins.digest("a") != pins.digest("b")
    assert pins.digest("a", "b") != pins.digest("ab")


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("go version go1.26.0 linux/amd64", True),
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.27 linux/arm64", True),
        ("go version go2.0.0 linux/amd64", True),
        ("go version go1.25.9 linux/amd64", False),
        ("go version go1.9.9 linux/amd64", False),
        ("go version devel +abc", False),
    ],
)
def test_go_is_compared_as_numbers(version: str, enough: bool) -> None:
    assert gobuild.new_enough(version, "1.26.0") is enough


def test_kubernetes_is_stamped_with_its_release() -> None:
    kube = gobuild.targets(pins.parse(GO_MOD))[0]
    stamps = kube.flags[-1]
    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in stamps
    assert "-X k8s.io/component-base/version.gitMinor=37" in stamps
