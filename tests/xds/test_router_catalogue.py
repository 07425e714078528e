import json
from typing import Any

import pytest

from tidegate_operator.xds.catalogue import CLUSTERS, LISTENERS, ROUTES, Catalogue

A, B = "churn-aaaaaaaa", "churn-bbbbbbbb"
PODS_A, PODS_B = ("endpoints", f"ml/{A}/pods"), ("endpoints", f"ml/{B}/pods")


class Host:
    address, port = "10.0.0.1", 8080


def body(catalogue: Catalogue, topic: tuple[str, str]) -> Any:
    return json.loads(catalogue.view(topic).body)


@pytest.fixture
def catalogue(builders: Any) -> Catalogue:
    catalogue = Catalogue("cluster.test")
    catalogue.see_service(builders.service(5, stable=A))
    catalogue.see_slice(builders.slice(6, A, [Host]))
    catalogue.publish()
    return catalogue


def test_what_is_seen_shows_after_the_next_publish(catalogue: Catalogue, builders: Any) -> None:
    before = catalogue.view(ROUTES).version
    catalogue.see_service(builders.service(7, stable=A, canary=(B, 10)))
    assert catalogue.view(ROUTES).version == before
    assert catalogue.publish() == {CLUSTERS, ROUTES}
    assert catalogue.view(ROUTES).version.resource_version == 7
    assert catalogue.view(ROUTES).version.digest != before.digest


def test_a_weight_changes_the_routes_alone(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_service(builders.service(7, stable=A, canary=(B, 0)))
    catalogue.publish()
    catalogue.see_service(builders.service(8, stable=A, canary=(B, 10)))
    assert catalogue.publish() == {ROUTES}


def test_a_change_of_no_concern_to_routers_is_no_news(catalogue: Catalogue, builders: Any) -> None:
    manifest = builders.service(9, stable=A)
    manifest["status"]["stable"]["readyReplicas"] = 3
    catalogue.see_service(manifest)
    assert catalogue.publish() == set()
    assert catalogue.view(ROUTES).version.resource_version == 9


def test_endpoints_of_one_revision_are_no_news_of_another(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_slice(builders.slice(8, B, [Host]))
    assert catalogue.publish() == {PODS_B}
    catalogue.lose_slice(builders.slice(9, B, [Host]))
    assert catalogue.publish() == {PODS_B}
    assert body(catalogue, PODS_B)["resources"][0]["endpoints"] == []
    assert len(body(catalogue, PODS_A)["resources"][0]["endpoints"]) == 1


def test_a_slice_with_a_port_for_grpc_is_news_for_both_and_one_that_loses_it_again(
    catalogue: Catalogue, builders: Any
) -> None:
    grpc_a = ("endpoints", f"ml/{A}/grpc/pods")
    catalogue.see_slice(builders.slice(8, A, [Host], grpc_port=8081))
    assert catalogue.publish() == {grpc_a}
    assert len(body(catalogue, grpc_a)["resources"][0]["endpoints"]) == 1
    catalogue.see_slice(builders.slice(9, A, [Host]))
    assert catalogue.publish() == {grpc_a}
    (gone,) = body(catalogue, grpc_a)["resources"]
    assert (gone["cluster_name"], gone["endpoints"]) == (f"ml/{A}/grpc/pods", [])
    assert len(body(catalogue, PODS_A)["resources"][0]["endpoints"]) == 1


def test_a_revision_without_slices_has_no_endpoints_rather_than_no_answer(catalogue: Catalogue) -> None:
    (assignment,) = body(catalogue, ("endpoints", "ml/unheard-of/pods"))["resources"]
    assert (assignment["cluster_name"], assignment["endpoints"]) == ("ml/unheard-of/pods", [])


def test_an_object_that_cannot_be_read_leaves_the_service_as_it_was(catalogue: Catalogue, builders: Any) -> None:
    broken = builders.service(9, stable=A, canary=(B, 50))
    broken["status"]["canary"]["weight"] = 200
    catalogue.see_service(broken)
    catalogue.see_service(builders.service(10, name="other.name", stable=A))
    assert catalogue.publish() == set()


def test_a_revision_named_by_two_services_is_told_once(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_service(builders.service(9, name="other", stable=A))
    catalogue.publish()
    names = [cluster["name"] for cluster in body(catalogue, CLUSTERS)["resources"]]
    assert len(names) == len(set(names))


def test_a_listing_removes_services_and_slices_that_are_gone(catalogue: Catalogue) -> None:
    empty = {"metadata": {"resourceVersion": "50"}, "items": []}
    catalogue.list_services(empty, since=catalogue.services_version)
    catalogue.list_slices(empty, since=catalogue.slices_version)
    assert catalogue.publish() == {CLUSTERS, ROUTES, PODS_A}
    assert body(catalogue, CLUSTERS)["resources"] == []
    assert str(catalogue.view(PODS_A).version).startswith("50.")


def test_the_listener_never_changes_with_services(catalogue: Catalogue, builders: Any) -> None:
    before = catalogue.view(LISTENERS).version.digest
    catalogue.see_service(builders.service(9, name="other", stable=B))
    assert LISTENERS not in catalogue.publish()
    assert catalogue.view(LISTENERS).version.digest == before
