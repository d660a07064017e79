"""OAuth 1.0 (RFC 5849), as Authlib speaks it."""

import base64
import hmac
import re
from dataclasses import replace
from urllib.parse import quote

from authlib.oauth1 import ClientAuth
from authlib.oauth1.rfc5849.errors import InsecureTransportError
from authlib.oauth1.rfc5849.signature import generate_signature_base_string
from authlib.oauth1.rfc5849.util import escape
from authlib.oauth1.rfc5849.wrapper import OAuth1Request
from multidict import CIMultiDict

from api.oauth.signing import OAuth1Credentials
from api.outbound.egress import EgressRefused, origin_of
from api.outbound.http import OutboundRequest

_FORM = "application/x-www-form-urlencoded"


def sign(request: OutboundRequest, credentials: OAuth1Credentials, *, method: str, realm: str | None = None) -> OutboundRequest:
    """The request with an `Authorization` header of OAuth 1.0 (RFC 5849 section 3.5.1). Raises EgressRefused for plain http."""
    token, token_secret = credentials.token, credentials.token_secret
    signer = ClientAuth(
        credentials.client_key,
        client_secret=credentials.client_secret.reveal(),
        token=None if token is None else token.reveal(),
        token_secret=None if token_secret is None else token_secret.reveal(),
        # It is written as a quoted string (RFC 9110 section 5.6.4), and not escaped by the library.
        realm=None if realm is None else re.sub(r'(["\\])', r"\\\1", realm),
        signature_method=method,
    )
    # Of a body only a form is signed; it is sent as it is in any case. The library knows one spelling of a header's name.
    headers = CIMultiDict(request.headers)
    is_form = headers.get("Content-Type", "").partition(";")[0].strip().lower() == _FORM
    signable = ({"Content-Type": _FORM}, request.body or b"") if is_form else ({}, b"")
    try:
        # A query is taken apart before it is signed, and so may be quoted more than it was: the library refuses some that are good.
        _, signed, _ = signer.prepare(request.method, quote(request.url, safe="%:/?&=+;,@"), *signable)
    except InsecureTransportError:
        raise EgressRefused(origin_of(request.url), "OAuth 1.0 is spoken over https alone") from None
    headers["Authorization"] = signed["Authorization"]
    return replace(request, headers=dict(headers.items()))


def _hmac_sha256(signer: ClientAuth, request: OAuth1Request) -> str:
    """As RFC 5849 section 3.4.2 has it for SHA-1."""
    text = generate_signature_base_string(request)
    key = f"{escape(signer.client_secret or '')}&{escape(signer.token_secret or '')}"
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha256")).decode()


ClientAuth.register_signature_method("HMAC-SHA256", _hmac_sha256)
