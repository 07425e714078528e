"""The adapter's own certificate authority and serving certificate, as PEM. Pure but for the keys' randomness.

The authority's key is thrown away once it has signed: there is nothing to steal that could sign another certificate,
and renewing is always the same step, a new authority with a new certificate. The old authority stays in the bundle
until it expires, so that a replica which still serves the old certificate is trusted meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=90)
RENEWAL = timedelta(days=30)
"""How long before it expires a certificate is renewed."""
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the adapter serves with: authorities to trust (newest first), its certificate, and that one's key; PEM."""

    authorities: bytes
    certificate: bytes
    key: bytes


def issue(hosts: Sequence[str], now: datetime, previous: Identity | None = None) -> Identity:
    """A new certificate for DNS names `hosts`, and its authority; `previous` is the one that it replaces."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("tidegate-metrics-adapter-ca")
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(_name(hosts[0]), authority_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    still_valid = [old for old in _authorities(previous) if old.not_valid_after_utc > now]
    return Identity(
        authorities=b"".join(_pem(one) for one in (authority, *still_valid)),
        certificate=_pem(certificate),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def needs_renewal(identity: Identity, hosts: Sequence[str], now: datetime) -> str | None:
    """Why an identity can't be served with much longer, or None if it can."""
    try:
        certificate = x509.load_pem_x509_certificate(identity.certificate)
        authorities = _authorities(identity)
        key = serialization.load_pem_private_key(identity.key, password=None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(authorities[0])
    except Exception as error:  # whatever was stored, a new one replaces it
        return f"it can't be used: {type(error).__name__}"
    if key.public_key() != certificate.public_key():
        return "the key isn't the certificate's"
    if missing := set(hosts) - set(names.get_values_for_type(x509.DNSName)):
        return f"it isn't for {', '.join(sorted(missing))}"
    if certificate.not_valid_after_utc - now < RENEWAL:
        return f"it expires at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _authorities(identity: Identity | None) -> list[x509.Certificate]:
    if identity is None:
        return []
    try:
        return x509.load_pem_x509_certificates(identity.authorities)
    except ValueError:
        return []


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(start + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    # A common name holds 64 characters at most; what is checked are the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
