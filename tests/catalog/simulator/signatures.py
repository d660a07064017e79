"""Signatures as vendors check them: computed once more, from the secret that they know."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from tests.catalog.simulator.keys import public_key
from tests.catalog.simulator.values import filled
from tests.catalog.simulator.vendor import Assertion, Signed


class BadSignature(Exception):
    """What was signed is not what arrived, or it was signed with another secret."""


class Unsigned(Exception):
    """There is no signature of the kind that is due, or it is for something else."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it is on the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def check_aws(request: Arrived, signed: Signed, values: Mapping[str, str]) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<scope>\S+), SignedHeaders=(?P<names>\S+), Signature=(?P<signature>[0-9a-f]{64})",
        request.headers.get("authorization", ""),
    )
    if match is None:
        raise Unsigned("there is no signature of AWS")
    at = request.headers.get("x-amz-date", "")
    scope = f"{at[:8]}/{signed.region}/{signed.service}/aws4_request"
    if match["scope"] != scope:
        raise Unsigned(f"it is signed for {match['scope']}, not for {scope}")
    names = match["names"].split(";")
    if "host" not in names or "x-amz-date" not in names:
        raise Unsigned("host and date are not signed")
    if request.headers.get("x-amz-security-token") != values.get("session_token"):
        raise BadSignature("the session token is another")
    parts = urlsplit(request.url)
    headers = {**request.headers, "host": parts.netloc}
    query = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    canonical = "\n".join(
        [
            request.method,
            quote(unquote(parts.path) or "/", safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            match["names"],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + values["secret_access_key"]).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if match["key"] != values["access_key_id"] or match["signature"] != hmac.digest(key, text.encode(), "sha256").hex():
        raise BadSignature("AWS computes another signature")


def check_oauth1(request: Arrived, signed: Signed, values: Mapping[str, str]) -> None:
    """RFC 5849 section 3.2."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme != "OAuth":
        raise Unsigned("there is no signature of OAuth 1.0")
    given = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', rest)}
    signature, realm = given.pop("oauth_signature", ""), given.pop("realm", None)
    if (realm, given.get("oauth_signature_method")) != (signed.realm, signed.method):
        raise Unsigned(f"realm and method are {realm} and {given.get('oauth_signature_method')}")
    if not {"oauth_timestamp", "oauth_nonce"} <= given.keys() or ("oauth_token" in given) is not bool(signed.token):
        raise Unsigned(f"it has {', '.join(sorted(given))}")
    parts = urlsplit(request.url)
    pairs = sorted((_escape(name), _escape(value)) for name, value in [*given.items(), *parse_qsl(parts.query, keep_blank_values=True)])
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    text = "&".join(map(_escape, (request.method, f"{parts.scheme}://{parts.netloc}{parts.path}", parameters)))
    token, token_secret = (filled(signed.token, values), filled(signed.token_secret, values)) if signed.token else (None, "")
    key = f"{_escape(filled(signed.consumer_secret, values))}&{_escape(token_secret)}"
    digest = signed.method.removeprefix("HMAC-").replace("-", "").lower()
    expected = base64.b64encode(hmac.digest(key.encode(), text.encode(), digest)).decode()
    names = (given.get("oauth_consumer_key"), given.get("oauth_token"))
    if names != (filled(signed.consumer_key, values), token) or signature != expected:
        raise BadSignature("another signature is due")


def check_assertion(token: str, assertion: Assertion, *, key: str, claims: Mapping[str, object], now: datetime) -> None:
    """RFC 7519, with the claims and times that the vendor demands."""
    kind: Any = ECKey if assertion.algorithm.startswith("ES") else RSAKey
    try:
        found = jwt.decode(token, kind(load_der_public_key(public_key(key)), None), algorithms=[assertion.algorithm])
    except (JoseError, ValueError) as error:
        raise BadSignature(f"the assertion is not good: {type(error).__name__}") from None
    header = {name: value for name, value in found.header.items() if name not in ("alg", "typ")}
    if header != assertion.header:
        raise Unsigned(f"the header of the assertion has {header}, not {dict(assertion.header)}")
    times = {name: found.claims.pop(name, None) for name in ("iat", "exp", "jti", "nbf")}
    if found.claims != claims:
        raise Unsigned(f"the assertion claims {found.claims}, not {claims}")
    issued, ends, at = times["iat"] or 0, times["exp"] or 0, now.astimezone(UTC).timestamp()
    if not issued <= at < ends <= issued + assertion.lifetime:
        raise Unsigned(f"the assertion is from {issued} to {ends}, and now is {at}")


def _escape(text: str) -> str:
    return quote(text, safe="-_.~")
