"""Signed assertions: JWTs by which a client, or the grant itself, proves who it is (RFC 7523, RFC 7519)."""

import secrets
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from api.oauth.errors import UnusableKey
from api.oauth.tokens import Assertion
from api.secret import Secret

# The server's clock may be behind ours.
_ISSUED_EARLIER_SECONDS = 30


def sign(assertion: Assertion, now: datetime) -> Secret:
    """A new JWT, good once (`jti`) and for the assertion's lifetime. Raises UnusableKey."""
    issued = int(now.timestamp())
    claims = {
        **assertion.claims,
        "iat": issued - _ISSUED_EARLIER_SECONDS,
        "exp": issued + int(assertion.lifetime.total_seconds()) - _ISSUED_EARLIER_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    header = {**assertion.header, "alg": assertion.algorithm, "typ": "JWT"}
    try:
        return Secret(jwt.encode(header, claims, _key(assertion), algorithms=[assertion.algorithm]))
    # Of what is wrong with a key the libraries tell by many types; none of them may show a part of it.
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError):
        raise UnusableKey from None


def _key(assertion: Assertion) -> RSAKey | ECKey:
    pem = assertion.key.reveal()
    passphrase = None if assertion.passphrase is None else assertion.passphrase.reveal().encode()
    # Once: to check an RSA key takes 50 ms. Encrypted keys are known here, and those of the form that OpenSSL wrote formerly.
    key = load_pem_private_key(pem.encode(), password=passphrase)
    if isinstance(key, EllipticCurvePrivateKey) and assertion.algorithm.startswith("ES"):
        return ECKey(key, pem)
    if isinstance(key, RSAPrivateKey) and not assertion.algorithm.startswith("ES"):
        return RSAKey(key, pem)
    raise TypeError("the key is of another kind than the algorithm")
