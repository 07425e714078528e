"""The document with the tenants: what it says, and what is wrong with one, by tenant and field."""

from hashlib import sha256
from typing import Any

import orjson
import pytest

from tidegate_runtime.access.tenants import (
    ANYBODY,
    MAX_BYTES,
    NOBODY,
    Tenant,
    UnreadableTenants,
    read_tenants,
)

from .tokens import document, tenant

SECRET = "s3cr3t"
DIGEST = sha256(SECRET.encode()).hexdigest()


def digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def test_a_whole_document_says_all_that_it_can() -> None:
    told = read_tenants(
        b'{"tenants": [{"name": "search", "tokens": [{"sha256": "%s", "expires": "2027-01-01T00:00:00Z"}],'
        b' "models": ["ranker"], "administration": true, "requestsPerSecond": 100, "burst": 200}]}' % DIGEST.encode()
    )
    search = Tenant("search", frozenset({"ranker"}), True, 100.0, 200.0)
    # 2027-01-01 is 20,819 days after 1970-01-01.
    expires = 20_819 * 86_400
    assert told.find(digest(SECRET), expires - 1) == search
    assert told.find(digest(SECRET), expires) is None
    assert told.find(digest("another"), 0) is None


def test_what_is_left_out_bounds_nothing_and_allows_no_administration() -> None:
    told = read_tenants(document(tenant("a", SECRET)))
    assert told.find(digest(SECRET), 4e9) == Tenant("a", None, False, None)


@pytest.mark.parametrize(("rate", "burst"), [(100, 100.0), (0.5, 1.0), (1, 1.0)])
def test_a_burst_that_is_left_out_is_a_seconds_worth_and_at_least_one(rate: float, burst: float) -> None:
    told = read_tenants(document(tenant("a", SECRET, requestsPerSecond=rate)))
    found = told.find(digest(SECRET), 0)
    assert found is not None
    assert (found.rate, found.burst) == (rate, burst)


def test_models_that_are_named_are_all_that_a_tenant_may_ask_for() -> None:
    some = Tenant("a", frozenset({"m"}))
    assert [some.may("m"), some.may("n"), some.may("")] == [True, False, False]
    assert ANYBODY.may("n")
    assert not NOBODY.may("n")


def one(**changed: Any) -> bytes:
    return document(tenant("search", SECRET) | changed)


WRONG = [
    pytest.param(b"", "JSON", id="nothing"),
    pytest.param(b"[]", "", id="a list"),
    pytest.param(b'{"tenants": []}', "tenants: ", id="no tenants"),
    pytest.param(b'{"tenants": [{"name": "a", "tokens": []}], "version": 1}', "version: ", id="a field of no meaning"),
    pytest.param(one(model=["ranker"]), 'tenant "search", model: ', id="a field that is misspelt"),
    pytest.param(one(name=""), "tenants[0], name: ", id="no name"),
    pytest.param(one(name=7), "tenants[0], name: ", id="a name that is none"),
    pytest.param(one(tokens=[SECRET]), 'tenant "search", tokens[0]: ', id="the token itself"),
    pytest.param(one(tokens=[{"sha256": SECRET}]), 'tenant "search", tokens[0].sha256: ', id="the token as its digest"),
    pytest.param(one(tokens=[{"sha256": DIGEST + "00"}]), 'tenant "search", tokens[0].sha256: ', id="66 digits"),
    pytest.param(
        one(tokens=[{"sha256": DIGEST, "expires": "soon"}]), 'tenant "search", tokens[0].expires: ', id="no time"
    ),
    pytest.param(
        one(tokens=[{"sha256": DIGEST, "expires": "2027-01-01T00:00:00"}]),
        'tenant "search", tokens[0].expires: ',
        id="a time of no zone",
    ),
    pytest.param(one(models="ranker"), 'tenant "search", models: ', id="models that are no list"),
    pytest.param(one(models=["a", 7]), 'tenant "search", models[1]: ', id="a model that is no name"),
    pytest.param(one(administration="yes"), 'tenant "search", administration: ', id="a word for true"),
    pytest.param(one(requestsPerSecond=0), 'tenant "search", requestsPerSecond: ', id="a rate of 0"),
    pytest.param(one(requestsPerSecond=-1), 'tenant "search", requestsPerSecond: ', id="a rate below"),
    pytest.param(one(requestsPerSecond="9"), 'tenant "search", requestsPerSecond: ', id="a rate as text"),
    pytest.param(one(requestsPerSecond=9, burst=0.5), 'tenant "search", burst: ', id="a burst of less than one"),
    pytest.param(one(burst=9), 'tenant "search", burst: ', id="a burst without a rate"),
    pytest.param(document(tenant("a", "x"), tenant("a", "y")), 'tenant "a", name: ', id="a name twice"),
    pytest.param(
        document(tenant("a", "x"), tenant("b", "y", "x")),
        'tenant "b", tokens[1].sha256: tenant "a" has',
        id="a token of two tenants",
    ),
    pytest.param(b" " * (MAX_BYTES + 1), f"{MAX_BYTES} bytes", id="too long"),
]


@pytest.mark.parametrize(("content", "told"), WRONG)
def test_refused_with_the_tenant_and_the_field_and_without_the_value_is(content: bytes, told: str) -> None:
    with pytest.raises(UnreadableTenants) as error:
        read_tenants(content)
    assert told in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


def test_a_digest_in_capitals_is_the_same() -> None:
    content = orjson.dumps({"tenants": [{"name": "a", "tokens": [{"sha256": DIGEST.upper()}]}]})
    assert read_tenants(content).find(digest(SECRET), 0) is not None
