"""Signed requests against the examples that the specifications and vendors publish, and against their steps written out anew.

Of chance and time, which both are drawn inside of the libraries, the libraries' own functions are replaced.
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import authlib.oauth1.rfc5849.client_auth
import botocore.auth
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.oauth.signing import AwsCredentials, OAuth1Credentials, sign_for_aws, sign_with_oauth1
from api.outbound.egress import EgressRefused
from api.outbound.http import OutboundRequest
from api.secret import Secret

FORM = "application/x-www-form-urlencoded"

# AWS Signature Version 4: the test suite that AWS publishes (aws-sig-v4-test-suite), and the example of its documentation

AWS = AwsCredentials("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
AWS_NOW = datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC)
SESSION_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/k"
    "McGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64l"
    "IZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.fixture
def aws_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AWS_NOW.replace(tzinfo=None))


def signed_for_aws(
    method: str, url: str, headers: dict[str, str], body: bytes | None = None, *, token: str | None = None, service: str = "service"
) -> OutboundRequest:
    credentials = AWS if token is None else AwsCredentials(AWS.access_key_id, AWS.secret_access_key, Secret(token))
    return sign_for_aws(OutboundRequest(method, url, headers, body), credentials, service=service, region="us-east-1")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signed_headers", "signature"),
    [
        ("GET", "/", {}, None, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, None, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            {},
            None,
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/",
            {"Content-Type": FORM},
            b"Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "post-x-www-form-urlencoded"],
)
@pytest.mark.usefixtures("aws_now")
def test_the_examples_of_aws_are_signed_as_aws_does(
    method: str, path: str, headers: dict[str, str], body: bytes | None, signed_headers: str, signature: str
) -> None:
    request = signed_for_aws(method, f"https://example.amazonaws.com{path}", headers, body)

    assert request.headers == headers | {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed_headers}, Signature={signature}",
    }
    assert (request.method, request.url, request.body) == (method, f"https://example.amazonaws.com{path}", body)


@pytest.mark.usefixtures("aws_now")
def test_the_example_of_the_documentation_of_aws_is_signed() -> None:
    request = signed_for_aws(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"content-type": f"{FORM}; charset=utf-8"},
        service="iam",
    )

    assert request.headers["Authorization"].endswith("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")


@pytest.mark.usefixtures("aws_now")
def test_a_session_token_is_sent_and_signed() -> None:
    request = signed_for_aws("POST", "https://example.amazonaws.com/", {}, token=SESSION_TOKEN)

    assert request.headers["X-Amz-Security-Token"] == SESSION_TOKEN
    # post-sts-header-before
    assert request.headers["Authorization"].endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_a_call_of_sts_is_signed_by_the_steps_of_the_documentation() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, at the time that it is."""
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    request = signed_for_aws(
        "POST", "https://sts.us-east-1.amazonaws.com/", {"Accept": "application/json", "Content-Type": FORM}, body, service="sts"
    )

    at = request.headers["X-Amz-Date"]
    scope = f"{at[:8]}/us-east-1/sts/aws4_request"
    names = "accept;content-type;host;x-amz-date"
    canonical = (
        f"POST\n/\n\naccept:application/json\ncontent-type:{FORM}\nhost:sts.us-east-1.amazonaws.com\nx-amz-date:{at}\n\n{names}\n"
        + hashlib.sha256(body).hexdigest()
    )
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + AWS.secret_access_key.reveal().encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    assert request.headers["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    assert abs((datetime.now(UTC) - datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)).total_seconds()) < 60


def test_aws_credentials_print_no_secret() -> None:
    assert "canary" not in repr(AwsCredentials("AKIDEXAMPLE", Secret("canary"), Secret("canary")))


# OAuth 1.0

CREDENTIALS = OAuth1Credentials("the key", Secret("s&cret"), Secret("t/ken"), Secret("token s%cret"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = {"nonce": "", "timestamp": ""}
    for name in values:
        monkeypatch.setattr(authlib.oauth1.rfc5849.client_auth, f"generate_{name}", lambda name=name: values[name])
    return values


def oauth_parameters(request: OutboundRequest) -> dict[str, str]:
    found = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', request.headers["Authorization"].removeprefix("OAuth "))
    assert len(dict(found)) == len(found)
    return {name: unquote(value) for name, value in found}


def test_plain_http_is_refused() -> None:
    """Also where the operator allows it: the library holds to the RFC, and says so in an error of its own."""
    with pytest.raises(EgressRefused) as refused:
        sign_with_oauth1(OutboundRequest("GET", "http://api.example/x?key=canary"), CREDENTIALS, method="HMAC-SHA1")

    assert str(refused.value) == "http://api.example is not called: OAuth 1.0 is spoken over https alone."


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8"])
def test_the_example_of_twitter_is_signed_form_and_all(name: str, content_type: str, drawn: dict[str, str]) -> None:
    """https://developer.x.com/en/docs/authentication/oauth-1-0a/creating-a-signature"""
    drawn |= {"nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", "timestamp": "1318622958"}
    credentials = OAuth1Credentials(
        "xvz1evFS4wEEPTGEFPHBog",
        Secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
        Secret("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
        Secret("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
    )
    body = b"status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21"
    url = "https://api.twitter.com/1.1/statuses/update.json?include_entities=true"

    signed = sign_with_oauth1(OutboundRequest("POST", url, {name: content_type}, body), credentials, method="HMAC-SHA1")

    assert oauth_parameters(signed)["oauth_signature"] == "hCtSmYh+iHYCEqBWrE7C7hYmtUk="
    assert set(signed.headers) == {name, "Authorization"}
    assert (signed.headers[name], signed.body) == (content_type, body)


def recomputed(request: OutboundRequest, signed: OutboundRequest, credentials: OAuth1Credentials, hash_name: str, form: str = "") -> str:
    """RFC 5849 sections 3.4.1 and 3.4.2, step by step."""
    parts = urlsplit(request.url)
    parameters = [(name, value) for name, value in oauth_parameters(signed).items() if name not in ("realm", "oauth_signature")]
    for source in (parts.query, form):
        parameters += parse_qsl(source, keep_blank_values=True)
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters)
    normalized = "&".join(f"{name}={value}" for name, value in pairs)
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    text = "&".join(quote(part, safe="~") for part in (request.method, address, normalized))
    token_secret = "" if credentials.token_secret is None else credentials.token_secret.reveal()
    key = "&".join(quote(secret, safe="~") for secret in (credentials.client_secret.reveal(), token_secret))
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hash_name)).decode()


@pytest.mark.parametrize(("method", "hash_name"), [("HMAC-SHA1", "sha1"), ("HMAC-SHA256", "sha256")])
@pytest.mark.parametrize("credentials", [CREDENTIALS, OAuth1Credentials("the key", Secret("s&cret"))])
def test_a_signature_is_that_of_the_rfc(credentials: OAuth1Credentials, method: str, hash_name: str) -> None:
    request = OutboundRequest(
        "POST",
        "https://api.example/a%20path/x?b5=%3D%253D&a3=a&c%40=&a2=r%20b&a3=2%20q",
        {"Content-Type": FORM},
        b"c2=&a3=2+q&%C3%A4=%E2%82%AC",
    )

    signed = sign_with_oauth1(request, credentials, method=method)

    parameters = oauth_parameters(signed)
    assert parameters["oauth_signature"] == recomputed(request, signed, credentials, hash_name, form="c2=&a3=2+q&%C3%A4=%E2%82%AC")
    assert parameters["oauth_signature_method"] == method
    assert ("oauth_token" in parameters) is (credentials.token is not None)


@pytest.mark.parametrize("query", ["$filter=a eq 'b'".replace(" ", "%20"), "q=[1]&(x)=*!", "a:b;c@d,/?=~", "a&b=&&c", "%7B=%2B+%25"])
def test_every_spelling_of_a_query_is_signed(query: str) -> None:
    request = OutboundRequest("GET", f"https://api.example/x?{query}")

    signed = sign_with_oauth1(request, CREDENTIALS, method="HMAC-SHA256")

    assert signed.url == request.url
    assert oauth_parameters(signed)["oauth_signature"] == recomputed(request, signed, CREDENTIALS, "sha256")


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(words, words), max_size=4), words, words)
def test_whatever_is_asked_and_whatever_the_secrets_the_signature_is_that_of_the_rfc(
    query: list[tuple[str, str]], secret: str, token_secret: str
) -> None:
    credentials = OAuth1Credentials("key", Secret(secret), Secret("token"), Secret(token_secret))
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    request = OutboundRequest("GET", f"https://api.example/x?{asked}")

    signed = sign_with_oauth1(request, credentials, method="HMAC-SHA256")

    assert oauth_parameters(signed)["oauth_signature"] == recomputed(request, signed, credentials, "sha256")


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
@pytest.mark.parametrize("body", [b'{"a": "b"}', b"a=b", b""])
def test_a_body_that_is_no_form_is_kept_and_not_signed(body: bytes, name: str) -> None:
    request = OutboundRequest("PUT", "https://api.example/x", {name: "application/json", "X-Other": "1"}, body)

    signed = sign_with_oauth1(request, CREDENTIALS, method="HMAC-SHA256")

    assert signed.body == body
    assert {header: value for header, value in signed.headers.items() if header != "Authorization"} == request.headers
    assert oauth_parameters(signed)["oauth_signature"] == recomputed(request, signed, CREDENTIALS, "sha256")


@pytest.mark.parametrize(
    ("realm", "written"), [("123456_SB1", '"123456_SB1"'), ('a", oauth_token="evil\\', '"a\\", oauth_token=\\"evil\\\\"')]
)
def test_a_realm_stands_in_the_header_and_is_not_signed(realm: str, written: str) -> None:
    request = OutboundRequest("GET", "https://api.example/x")

    signed = sign_with_oauth1(request, CREDENTIALS, method="HMAC-SHA256", realm=realm)

    assert signed.headers["Authorization"].startswith(f"OAuth realm={written}, oauth_nonce=")
    parameters = oauth_parameters(signed)
    assert parameters["oauth_token"] == "t/ken"
    assert parameters["oauth_signature"] == recomputed(request, signed, CREDENTIALS, "sha256")


def test_the_signature_replaces_another_proof() -> None:
    request = OutboundRequest("GET", "https://api.example/x", {"authorization": "Bearer other"})

    signed = sign_with_oauth1(request, CREDENTIALS, method="HMAC-SHA1")

    assert len(signed.headers) == 1
    assert oauth_parameters(signed)["oauth_consumer_key"] == "the key"


def test_no_two_requests_have_the_same_nonce() -> None:
    request = OutboundRequest("GET", "https://api.example/x")

    nonces = {oauth_parameters(sign_with_oauth1(request, CREDENTIALS, method="HMAC-SHA1"))["oauth_nonce"] for _ in range(20)}

    assert len(nonces) == 20


def test_oauth1_credentials_print_nothing_secret() -> None:
    assert "canary" not in repr(OAuth1Credentials("canary", Secret("canary"), Secret("canary"), Secret("canary")))
