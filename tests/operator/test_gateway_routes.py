"""Routes of the Gateway API, as they are made and as a controller judges them."""

from typing import Any

import pytest

from tidegate_operator.desired.routes import routes, shares_of
from tidegate_operator.install import Install
from tidegate_operator.routing.acceptance import obstacle

from .builders import A, B, Object, a_service, a_spec, a_state

INSTALL = Install(gateway_enabled=True, gateway_name="public", gateway_namespace="gateways")
MATCH = {"match": [{"header": {"x-model": "canary"}}, {"header": {"x-team": "fraud", "x-stage": "beta"}}]}
CANARY = a_state(phase="Progressing", canary=B, weight=10)


def made(
    state: Any = CANARY,
    *,
    ready: bool = True,
    rollout: Object | None = None,
    install: Install = INSTALL,
    **routing: Any,
) -> list[Object]:
    spec = a_spec(routing={"provider": "Gateway", **routing}, rollout=rollout or {})
    return list(routes(a_service(), spec, state, install, canary_ready=ready))


@pytest.mark.parametrize(
    ("state", "shares"),
    [
        (a_state(), {A: 100}),
        (a_state(canary=B, weight=0), {A: 100}),
        (CANARY, {A: 90, B: 10}),
        (a_state(canary=B, weight=100), {B: 100}),
    ],
)
def test_weights_are_those_of_the_state(state: Any, shares: dict[str, int]) -> None:
    (route,) = made(state)
    (rule,) = route["spec"]["rules"]
    assert shares_of(route) == shares
    assert {(each["kind"], each["port"]) for each in rule["backendRefs"]} == {("Service", 8080)}


def test_each_match_is_exact_and_a_request_tells_its_pod_how_it_was_chosen() -> None:
    (route,) = made(rollout=MATCH)
    weighted, matched = route["spec"]["rules"]
    assert matched["matches"] == [
        {"headers": [{"type": "Exact", "name": "x-model", "value": "canary"}]},
        {
            "headers": [
                {"type": "Exact", "name": "x-team", "value": "fraud"},
                {"type": "Exact", "name": "x-stage", "value": "beta"},
            ]
        },
    ]
    assert [each["name"] for each in matched["backendRefs"]] == [B]
    told = [rule["filters"][0]["requestHeaderModifier"]["set"] for rule in (matched, weighted)]
    assert told == [[{"name": "x-tidegate-route", "value": chosen}] for chosen in ("match", "weight")]
    assert "matches" not in weighted


def test_the_rule_of_all_other_requests_has_the_same_place_whether_or_not_some_are_matched() -> None:
    for rollout in ({}, MATCH):
        (route,) = made(rollout=rollout)
        assert "matches" not in route["spec"]["rules"][0]
        assert shares_of(route) == {A: 90, B: 10}


def test_shares_are_read_wherever_their_rule_is() -> None:
    # What an API server fills in, and the order in which the release before wrote rules.
    (route,) = made(rollout=MATCH)
    route["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": "/"}}]
    route["spec"]["rules"].reverse()
    assert shares_of(route) == {A: 90, B: 10}


def test_what_asks_for_a_cookie_as_well_is_not_matched_by_its_header_alone() -> None:
    # A spec of provider Router may ask for cookies, while its routes stay for those who still come by the Gateway.
    (route,) = made(rollout={"match": [{"header": {"x-model": "canary"}, "cookie": {"team": "fraud"}}]})
    assert len(route["spec"]["rules"]) == 1


def test_nothing_is_matched_without_a_canary_that_is_ready() -> None:
    for state, ready in [(CANARY, False), (a_state(), True)]:
        (route,) = made(state, ready=ready, rollout=MATCH)
        assert len(route["spec"]["rules"]) == 1


PARENTS: list[tuple[Object, Object]] = [
    ({}, {"name": "public", "namespace": "gateways"}),
    ({"namespace": "other"}, {"name": "public", "namespace": "other"}),
    ({"name": "own"}, {"name": "own", "namespace": "ml"}),
    ({"name": "own", "sectionName": "https"}, {"name": "own", "namespace": "ml", "sectionName": "https"}),
]


@pytest.mark.parametrize(("asked", "expected"), PARENTS)
def test_the_gateway_is_the_specs_or_else_the_installs(asked: Object, expected: Object) -> None:
    (route,) = made(gateway=asked)
    (parent,) = route["spec"]["parentRefs"]
    assert parent == {"group": "gateway.networking.k8s.io", "kind": "Gateway", **expected}


def test_http_and_grpc_have_names_of_their_own() -> None:
    http, grpc = made(grpc=True)
    assert (http["kind"], grpc["kind"]) == ("HTTPRoute", "GRPCRoute")
    assert http["spec"]["hostnames"] == ["churn.ml", "churn.ml.svc", "churn.ml.svc.cluster.local"]
    assert grpc["spec"]["hostnames"] == [f"grpc.{host}" for host in http["spec"]["hostnames"]]
    assert {backend["port"] for backend in grpc["spec"]["rules"][0]["backendRefs"]} == {8081}
    asked = made(grpc=True, gateway={"hostnames": ["a.example"], "grpcHostnames": ["b.example"]})
    assert [route["spec"]["hostnames"] for route in asked] == [["a.example"], ["b.example"]]


def judged(*answers: Object, generation: int = 2) -> Object:
    (route,) = made()
    route["metadata"]["generation"] = generation
    return {**route, "status": {"parents": list(answers)}} if answers else route


def answer(accepted: str = "True", resolved: str = "True", generation: int = 2, **parent: Any) -> Object:
    conditions = [
        {"type": kind, "status": status, "reason": "Why", "message": "told", "observedGeneration": generation}
        for kind, status in (("Accepted", accepted), ("ResolvedRefs", resolved))
    ]
    return {"parentRef": {"name": "public", "namespace": "gateways", **parent}, "conditions": conditions}


JUDGED: list[tuple[str, Object, str | None]] = [
    ("is accepted", judged(answer()), None),
    ("is accepted by one of two listeners", judged(answer(), answer("False", sectionName="other")), None),
    ("nobody has answered for", judged(), "RoutePending"),
    ("another gateway has answered for", judged(answer(name="other")), "RoutePending"),
    ("was accepted as it was before", judged(answer(generation=1)), "RoutePending"),
    ("was refused as it was before", judged(answer("False", generation=1)), "RoutePending"),
    ("is refused", judged(answer("False")), "RouteNotAccepted"),
    ("leads nowhere", judged(answer(resolved="False")), "RouteNotAccepted"),
    ("one of two controllers refuses", judged(answer(), answer("False")), "RouteNotAccepted"),
]


@pytest.mark.parametrize(("route", "reason"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED])
def test_a_route_that(route: Object, reason: str | None) -> None:
    found = obstacle(route)
    assert (found.reason if found else None) == reason
    if found:
        assert found.passing is (reason == "RoutePending")
        assert "gateways/public" in found.message


def test_a_refusal_is_told_in_the_controllers_own_words() -> None:
    found = obstacle(judged(answer("False")))
    assert found is not None
    assert found.message == "Gateway gateways/public: HTTPRoute churn has Accepted False, Why: told"
