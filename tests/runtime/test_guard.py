"""What the guard asks of callers, without any way in."""

from dataclasses import dataclass
from typing import Any

import pytest

from tidegate_runtime.access.guard import MAX_TOKEN_CHARACTERS, Guard
from tidegate_runtime.access.tenants import read_tenants
from tidegate_runtime.errors import Forbidden, Overloaded, RuntimeFault, Unauthenticated

from .tokens import document, tenant

PLAIN, INVALID = 'Bearer realm="tidegate"', 'Bearer realm="tidegate", error="invalid_token"'


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Asked:
    """A guard and what it goes by. In the world it is 2026."""

    guard: Guard
    clock: Clock
    wall: Clock


YEAR_2026 = 1_767_225_600.0


def guarded(*tenants: dict[str, Any], share: float = 1.0) -> Asked:
    clock, wall = Clock(), Clock(YEAR_2026)
    return Asked(Guard(read_tenants(document(*tenants)), clock, wall, share), clock, wall)


def fault(guard: Guard, authorization: str | None, model: str = "m") -> RuntimeFault:
    with pytest.raises(RuntimeFault) as error:
        guard.admit(authorization, model)
    return error.value


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        pytest.param(None, PLAIN, id="row 35: no header"),
        pytest.param("", PLAIN, id="row 35: an empty one"),
        pytest.param("Basic good", PLAIN, id="row 35: another scheme"),
        pytest.param("good", PLAIN, id="row 35: no scheme"),
        pytest.param("Bearer", PLAIN, id="row 35: no token"),
        pytest.param("Bearer ", PLAIN, id="row 35: an empty token"),
        pytest.param("Bearer wrong", INVALID, id="row 35: a wrong token"),
        pytest.param("Bearer good,Bearer good", INVALID, id="row 35: two"),
        pytest.param("Bearer good good", INVALID, id="row 35: something behind it"),
        pytest.param("Bearer old", INVALID, id="row 35: an expired token"),
        pytest.param("Bearer " + "x" * (MAX_TOKEN_CHARACTERS + 1), INVALID, id="row 35: a long one"),
        pytest.param("Bearer \u20ac\xff", INVALID, id="row 35: no ASCII"),
    ],
)
def test_refused_all_with_the_same_text_is(authorization: str | None, challenge: str) -> None:
    asked = guarded(tenant("a", "good"), tenant("b", "old", expires="2025-12-31T23:59:59Z"))
    refused = fault(asked.guard, authorization)
    assert type(refused) is Unauthenticated
    assert (refused.http_status, refused.grpc_status) == (401, "UNAUTHENTICATED")
    assert str(refused) == str(Unauthenticated())
    assert refused.challenge == challenge


@pytest.mark.parametrize("authorization", ["Bearer good", "bearer good", "BEARER  good "])
def test_the_schemes_name_is_read_in_any_case(authorization: str) -> None:
    asked = guarded(tenant("a", "good"))
    assert asked.guard.permit(authorization, "m").name == "a"


def test_a_token_is_good_until_it_expires() -> None:
    asked = guarded(tenant("a", "good", expires="2026-01-01T00:00:10Z"))
    asked.wall.now = YEAR_2026 + 9.9
    asked.guard.admit("Bearer good", "m")
    asked.wall.now = YEAR_2026 + 10
    assert type(fault(asked.guard, "Bearer good")) is Unauthenticated


def test_row_35_another_tenants_model_and_one_that_nobody_has_are_refused_alike() -> None:
    asked = guarded(tenant("a", "good", models=["mine"]), tenant("b", "other", models=["theirs"]))
    asked.guard.admit("Bearer good", "mine")
    theirs, nobodys = (fault(asked.guard, "Bearer good", model) for model in ("theirs", "nobody's"))
    assert type(theirs) is type(nobodys) is Forbidden
    assert (theirs.http_status, theirs.grpc_status, theirs.challenge) == (403, "PERMISSION_DENIED", None)
    assert str(theirs) == str(nobodys) == "this token is not for that model"


def test_administration_is_for_tenants_that_say_so_and_for_their_models() -> None:
    asked = guarded(tenant("user", "user"), tenant("keeper", "keeper", administration=True, models=["m"]))
    for authorization, model in (("Bearer user", None), ("Bearer user", "m"), ("Bearer keeper", "n")):
        with pytest.raises(Forbidden):
            asked.guard.administer(authorization, model)
    assert asked.guard.administer("Bearer keeper").name == "keeper"
    assert asked.guard.administer("Bearer keeper", "m").name == "keeper"
    with pytest.raises(Unauthenticated):
        asked.guard.administer(None)


def test_row_34_beyond_the_rate_is_told_why_and_when_to_come_back_and_let_in_then() -> None:
    asked = guarded(tenant("a", "good", requestsPerSecond=0.25, burst=2))
    for _ in range(2):
        asked.guard.admit("Bearer good", "m")
    refused = fault(asked.guard, "Bearer good")
    assert isinstance(refused, Overloaded)
    assert (refused.http_status, refused.grpc_status) == (429, "RESOURCE_EXHAUSTED")
    assert (refused.refusal, refused.retry_after_seconds) == ("TenantRate", 4)
    assert str(refused) == "this token's tenant may send 0.25 requests a second; try again in 4 s"
    asked.clock.now = 3.9
    assert fault(asked.guard, "Bearer good").retry_after_seconds == 1
    asked.clock.now = 4.0
    asked.guard.admit("Bearer good", "m")


def test_all_tokens_of_a_tenant_have_one_rate_and_other_tenants_have_their_own() -> None:
    asked = guarded(tenant("a", "one", "two", requestsPerSecond=1), tenant("b", "three", requestsPerSecond=1))
    asked.guard.admit("Bearer one", "m")
    assert fault(asked.guard, "Bearer two").http_status == 429
    asked.guard.admit("Bearer three", "m")


def test_what_is_refused_for_its_token_or_asks_for_no_inference_is_not_counted() -> None:
    asked = guarded(tenant("a", "good", models=["m"], requestsPerSecond=1))
    for _ in range(9):
        assert fault(asked.guard, "Bearer good", "n").http_status == 403
        assert fault(asked.guard, "Bearer wrong").http_status == 401
        asked.guard.permit("Bearer good", "m")
    asked.guard.admit("Bearer good", "m")


def test_others_tenants_count_from_the_next_request_on_and_used_rates_stay_used() -> None:
    asked = guarded(tenant("a", "old", requestsPerSecond=1, burst=2), tenant("b", "gone"))
    asked.guard.admit("Bearer old", "m")
    asked.guard.replace(read_tenants(document(tenant("a", "new", requestsPerSecond=1, burst=2))))
    assert [fault(asked.guard, f"Bearer {token}").http_status for token in ("old", "gone")] == [401, 401]
    asked.guard.admit("Bearer new", "m")
    assert fault(asked.guard, "Bearer new").http_status == 429


def test_several_processes_let_in_no_more_between_them_than_one() -> None:
    three = [guarded(tenant("a", "good", requestsPerSecond=6, burst=9), share=1 / 3) for _ in range(3)]

    def admitted(asked: Asked) -> int:
        count = 0
        while True:
            try:
                asked.guard.admit("Bearer good", "m")
            except Overloaded:
                return count
            count += 1

    assert [admitted(asked) for asked in three] == [3, 3, 3]
    for asked in three:
        asked.clock.now = 1.0
    assert [admitted(asked) for asked in three] == [2, 2, 2]
