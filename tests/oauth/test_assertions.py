"""Signed assertions: verified with the public key, and silent about a private key that is no good."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from api.oauth.assertions import sign
from api.oauth.errors import UnusableKey
from api.oauth.tokens import Assertion, AssertionUse
from api.secret import Secret

NOW = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
ISSUED = 1_772_366_400 - 30
PASSPHRASE = "canary pässphrase"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: str | None = None) -> str:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return str(key.private_bytes(Encoding.PEM, form, encryption).decode())


def assertion(key: str, algorithm: str = "RS256", passphrase: str | None = None, **more: Any) -> Assertion:
    hidden = None if passphrase is None else Secret(passphrase)
    return Assertion(Secret(key), algorithm, AssertionUse.GRANT, timedelta(minutes=5), passphrase=hidden, **more)


def verified(token: Secret, key: Any, algorithm: str) -> jwt.Token:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kind = ECKey if algorithm == "ES256" else RSAKey
    return jwt.decode(token.reveal(), kind.import_key(public), algorithms=[algorithm])


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_every_kind_of_key_signs(algorithm: str, form: PrivateFormat, passphrase: str | None) -> None:
    key = ec_key() if algorithm == "ES256" else rsa_key()

    token = verified(sign(assertion(pem(key, form, passphrase), algorithm, passphrase), NOW), key, algorithm)

    assert token.header == {"alg": algorithm, "typ": "JWT"}


def test_an_assertion_holds_its_claims_and_when_it_is_good() -> None:
    claims = {"iss": "client", "sub": "ann", "aud": "https://provider.example/token", "exp": "0", "iat": "0", "jti": "mine"}
    signed = sign(assertion(pem(rsa_key()), header={"kid": "1", "alg": "none", "typ": "evil", "x5t": "AA"}, claims=claims), NOW)

    token = verified(signed, rsa_key(), "RS256")

    assert token.header == {"kid": "1", "x5t": "AA", "alg": "RS256", "typ": "JWT"}
    jti = token.claims.pop("jti")
    assert token.claims == {"iss": "client", "sub": "ann", "aud": "https://provider.example/token", "iat": ISSUED, "exp": ISSUED + 300}
    assert len(jti) == 22


def test_no_two_assertions_are_the_same() -> None:
    wanted = assertion(pem(ec_key()), "ES256")

    ids = {verified(sign(wanted, NOW), ec_key(), "ES256").claims["jti"] for _ in range(20)}

    assert len(ids) == 20


def test_a_key_may_have_lost_its_last_line_break_and_gained_others() -> None:
    """As keys do that are pasted into a form."""
    for text in (pem(rsa_key()).strip(), "\n" + pem(rsa_key()) + "\n\n", pem(rsa_key()).replace("\n", "\r\n")):
        verified(sign(assertion(text), NOW), rsa_key(), "RS256")


UNUSABLE = {
    "nothing": lambda: assertion(""),
    "no PEM": lambda: assertion("canary"),
    "PEM of nothing": lambda: assertion("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"),
    "cut off": lambda: assertion(pem(rsa_key())[:400]),
    "a letter changed": lambda: assertion(pem(rsa_key())[:300] + "!" + pem(rsa_key())[301:]),
    "a public key": lambda: assertion(
        rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    ),
    "a JWK": lambda: assertion('{"kty":"oct","k":"canary"}'),
    "not to be written in UTF-8": lambda: assertion("\ud800"),
    "EC for RS256": lambda: assertion(pem(ec_key()), "RS256"),
    "EC for PS256": lambda: assertion(pem(ec_key()), "PS256"),
    "RSA for ES256": lambda: assertion(pem(rsa_key()), "ES256"),
    "another curve": lambda: assertion(pem(ec_key(ec.SECP384R1)), "ES256"),
    "Ed25519": lambda: assertion(pem(ed25519.Ed25519PrivateKey.generate()), "ES256"),
    "DSA": lambda: assertion(pem(dsa.generate_private_key(1_024)), "RS256"),
    "an unknown algorithm": lambda: assertion(pem(rsa_key()), "XX256"),
    "a wrong passphrase": lambda: assertion(pem(rsa_key(), passphrase=PASSPHRASE), passphrase="canary"),
    "a wrong passphrase of the old form": lambda: assertion(
        pem(rsa_key(), PrivateFormat.TraditionalOpenSSL, PASSPHRASE), passphrase="canary"
    ),
    "no passphrase": lambda: assertion(pem(rsa_key(), passphrase=PASSPHRASE)),
    "a passphrase too many": lambda: assertion(pem(rsa_key()), passphrase=PASSPHRASE),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_cannot_sign_is_told_without_any_of_it(name: str) -> None:
    wanted = UNUSABLE[name]()

    with pytest.raises(UnusableKey) as unusable:
        sign(wanted, NOW)

    told = f"{unusable.value} {unusable.value!r} {vars(unusable.value)}"
    assert "canary" not in told
    lines = [line for line in wanted.key.reveal().splitlines() if len(line) > 8 and not line.startswith("-----")]
    assert not any(line in told for line in lines)
    assert unusable.value.__suppress_context__


def test_an_assertion_prints_neither_key_nor_passphrase() -> None:
    assert "canary" not in repr(assertion("canary", passphrase="canary"))
