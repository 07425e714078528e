import ssl
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tidegate_operator import errors
from tidegate_operator.adapter.certificates import LIFETIME, RENEWAL, Identity, issue, needs_renewal
from tidegate_operator.adapter.secret import shared_identity

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOSTS = ("tidegate-metrics-adapter.tidegate-system.svc", "tidegate-metrics-adapter.tidegate-system")
SECRET = "/api/v1/namespaces/tidegate-system/secrets/tidegate-metrics-adapter-tls"
OWNER = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "x", "uid": "role-uid"}


@pytest.fixture(scope="module")
def identity() -> Identity:
    return issue(HOSTS, NOW)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """A TLS handshake in memory; raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", HOSTS)
def test_issued_certificate_is_trusted_by_its_authority_alone(identity: Identity, tmp_path: Any, host: str) -> None:
    fresh = issue(HOSTS, datetime.now(UTC))
    (tmp_path / "crt").write_bytes(fresh.certificate)
    (tmp_path / "key").write_bytes(fresh.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    client = ssl.create_default_context(cadata=fresh.authorities.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server, client, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client, "another.svc")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self.signed"):
        handshake(server, ssl.create_default_context(cadata=identity.authorities.decode()), host)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(timedelta(), None, id="new"),
        pytest.param(LIFETIME - RENEWAL, None, id="30 days left"),
        pytest.param(LIFETIME - RENEWAL + timedelta(seconds=1), "it expires at 2027-02-20T10:00:00Z", id="less left"),
        pytest.param(LIFETIME * 2, "it expires at 2027-02-20T10:00:00Z", id="expired"),
    ],
)
def test_certificate_is_renewed_thirty_days_before_it_expires(
    identity: Identity, age: timedelta, expected: str | None
) -> None:
    assert needs_renewal(identity, HOSTS, NOW + age) == expected


def test_certificate_that_cannot_be_served_with_is_renewed(identity: Identity) -> None:
    other = issue(HOSTS, NOW)
    for broken, reason in [
        (replace(identity, certificate=b""), "it can't be used: ValueError"),
        (replace(identity, key=b"garbage"), "it can't be used: ValueError"),
        (replace(identity, authorities=b""), "it can't be used: IndexError"),
        (replace(identity, authorities=other.authorities), "it can't be used: InvalidSignature"),
        (replace(identity, key=other.key), "the key isn't the certificate's"),
    ]:
        assert needs_renewal(broken, HOSTS, NOW) == reason
    assert needs_renewal(identity, (*HOSTS, "new.svc"), NOW) == "it isn't for new.svc"


def test_renewed_identity_still_trusts_the_authority_it_replaces_until_that_expires(identity: Identity) -> None:
    renewed = issue(HOSTS, NOW + timedelta(days=70), identity)
    newest, previous = x509.load_pem_x509_certificates(renewed.authorities)
    assert previous.public_bytes(Encoding.PEM) == identity.authorities
    assert newest != previous
    third = issue(HOSTS, NOW + timedelta(days=140), renewed)
    assert x509.load_pem_x509_certificates(third.authorities)[1:] == [newest]


async def test_first_replica_creates_the_secret_and_the_second_one_serves_with_the_same(cluster: Any) -> None:
    first = await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, NOW)
    second = await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, NOW)
    assert first == second
    assert cluster.writes == [("create", SECRET)]
    stored = cluster.objects[SECRET]
    assert stored["type"] == "kubernetes.io/tls"
    assert stored["metadata"]["ownerReferences"] == [OWNER]
    assert set(stored["data"]) == {"ca.crt", "tls.crt", "tls.key"}


async def test_replica_that_is_late_to_create_the_secret_takes_the_one_that_is_there(
    cluster: Any, identity: Identity
) -> None:
    cluster.before = lambda verb, path: cluster.put(path, secret_of(identity))
    assert await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, NOW) == identity


async def test_secret_is_renewed_in_place_and_both_replicas_converge(cluster: Any, identity: Identity) -> None:
    cluster.put(SECRET, secret_of(identity))
    later = NOW + timedelta(days=70)
    renewed = await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, later)
    assert needs_renewal(renewed, HOSTS, later) is None
    assert await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, later) == renewed
    assert cluster.writes == [("replace", SECRET)]


async def test_replica_that_is_late_to_renew_takes_the_others_renewal(cluster: Any, identity: Identity) -> None:
    cluster.put(SECRET, secret_of(identity))
    later = NOW + timedelta(days=70)
    theirs = issue(HOSTS, later, identity)
    cluster.before = lambda verb, path: cluster.put(path, secret_of(theirs))
    assert await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, later) == theirs


async def test_conflict_that_leaves_an_unusable_secret_is_told(cluster: Any) -> None:
    cluster.before = lambda verb, path: cluster.put(path, {"metadata": {}, "data": {}})
    with pytest.raises(errors.Conflict):
        await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, NOW)


@pytest.mark.parametrize("data", [{}, {"tls.crt": b64encode(b"hello").decode()}], ids=["empty", "garbage"])
async def test_secret_that_holds_no_certificate_is_filled(cluster: Any, data: dict[str, str]) -> None:
    cluster.put(SECRET, {"metadata": {"name": "x"}, "data": data})
    filled = await shared_identity(cluster, "tidegate-system", HOSTS, OWNER, NOW)
    assert needs_renewal(filled, HOSTS, NOW) is None
    assert cluster.writes == [("replace", SECRET)]


def secret_of(identity: Identity) -> dict[str, Any]:
    content = {"ca.crt": identity.authorities, "tls.crt": identity.certificate, "tls.key": identity.key}
    return {
        "metadata": {"name": "tidegate-metrics-adapter-tls"},
        "data": {name: b64encode(pem).decode() for name, pem in content.items()},
    }
