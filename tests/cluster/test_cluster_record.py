from ipaddress import IPv4Network
from pathlib import Path

import pytest

from localcluster import record
from localcluster.addresses import divide
from localcluster.errors import ClusterError
from localcluster.record import Wishes
from localcluster.settings import Settings, check_folder, check_name

BLOCK = divide(IPv4Network("10.64.0.0/16"))
RECORDED = Settings(name="tests", addresses=BLOCK, gpus=3, hpa_sync_seconds=7)


def nothing_routed() -> tuple[IPv4Network, ...]:
    return ()


def test_settings_read_back_as_written() -> None:
    assert Settings.from_json(RECORDED.to_json()) == RECORDED


def test_without_wishes_a_cluster_has_two_gpus_and_quick_autoscaling() -> None:
    assert record.new_settings("tests", Wishes(), ()) == Settings("tests", BLOCK, gpus=2, hpa_sync_seconds=5)


def test_one_wished_range_leaves_the_others_to_a_block_that_it_does_not_touch() -> None:
    pods = IPv4Network("10.64.7.0/24")
    made = record.new_settings("tests", Wishes(pods=pods), ())
    assert made.addresses.pods == pods
    assert made.addresses.services == IPv4Network("10.65.128.0/18")


def test_three_wished_ranges_need_no_free_block() -> None:
    wishes = Wishes(IPv4Network("172.20.0.0/16"), IPv4Network("172.21.0.0/16"), IPv4Network("172.22.0.0/30"))
    made = record.new_settings("tests", wishes, (IPv4Network("10.0.0.0/8"),))
    assert made.addresses.ranges() == (wishes.pods, wishes.services, wishes.link)


def test_the_number_of_gpus_may_change_on_a_cluster_that_exists() -> None:
    assert record.agreed(RECORDED, Wishes(gpus=0)).gpus == 0


def test_a_repeated_wish_is_no_change() -> None:
    assert record.agreed(RECORDED, Wishes(pods=BLOCK.pods, hpa_sync_seconds=7)) == RECORDED


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(pods=IPv4Network("10.99.0.0/16")), r"pods 10\.64\.0\.0/17, not 10\.99\.0\.0/16: take it down first"),
        (Wishes(hpa_sync_seconds=15), r"hpa_sync_seconds 7, not 15"),
    ],
)
def test_what_is_fixed_while_a_cluster_exists_is_refused(wishes: Wishes, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        record.agreed(RECORDED, wishes)


def test_a_second_up_goes_by_what_the_first_recorded_whatever_is_routed_since(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    first = record.settle(folder, "tests", Wishes(gpus=1), nothing_routed)
    again = record.settle(folder, "tests", Wishes(), first.addresses.ranges)
    assert again == first
    assert record.read(folder) == first


def test_a_folder_of_another_cluster_is_refused(tmp_path: Path) -> None:
    record.settle(tmp_path, "tests", Wishes(), nothing_routed)
    with pytest.raises(ClusterError, match="holds cluster tests: choose another --folder"):
        record.settle(tmp_path, "demo", Wishes(), nothing_routed)


def test_no_folder_is_no_cluster(tmp_path: Path) -> None:
    assert record.read(tmp_path / "nothing") is None


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 41])
def test_a_name_that_cannot_be_a_nodes_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="lower-case letters, digits and inner hyphens"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "tidegate", "e2e-2", "a" * 40])
def test_a_name_that_can_be_a_nodes_is_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("folder", "said"),
    [("/run/x", "not below /run"), ("/var/run/x", "not below /run"), ("/" + "x" * 85, "at most 85 bytes")],
)
def test_a_folder_that_the_node_could_not_use_is_refused(folder: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        check_folder(Path(folder))


def test_a_folder_of_just_the_longest_length_is_taken() -> None:
    check_folder(Path("/" + "x" * 84))


@pytest.mark.parametrize(
    ("gpus", "seconds", "said"), [(-1, 5, "--gpus -1: at least 0"), (2, 0, "seconds 0: at least 1")]
)
def test_numbers_out_of_range_are_refused(gpus: int, seconds: int, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        Settings("tests", BLOCK, gpus=gpus, hpa_sync_seconds=seconds)
