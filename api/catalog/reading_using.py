"""The part of a connector file that tells where a credential goes in a call, and which call proves it."""

from dataclasses import dataclass
from typing import Any

from api.catalog.binding import Binding
from api.catalog.table import Table, words
from api.catalog.template import Template
from api.catalog.templates import read_template, read_templates, read_url
from api.catalog.using import (
    AwsSignature,
    Basic,
    Expectation,
    Login,
    LoginProtocol,
    OAuth1Signature,
    Placement,
    PlacementLocation,
    Proof,
    Signature,
    Verification,
)

_METHODS = words("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_OAUTH1_METHODS = words("HMAC-SHA1", "HMAC-SHA256")
_PROTOCOLS = {protocol.value: protocol for protocol in LoginProtocol}


@dataclass(frozen=True, slots=True)
class Sending:
    """Where a credential goes."""

    placements: tuple[Placement, ...] = ()
    basic: Basic | None = None
    signature: Signature | None = None


def read_sending(table: Table, binding: Binding, *, has_token: bool, proof: Proof) -> Sending:
    """An access token goes into the Authorization header unless the file says otherwise."""
    send = table.table("send")
    sending = Sending(
        tuple(
            Placement(location, name, value)
            for location, key in ((PlacementLocation.HEADER, "headers"), (PlacementLocation.QUERY, "query"))
            for name, value in read_templates(send, key, binding, names_too=True).items()
        ),
        read_basic(send.table("basic"), binding) if "basic" in send else None,
        read_signature(send, binding),
    )
    if sending != Sending() or send.flag("sent_by_verify", False):
        return sending
    if has_token:
        return Sending((Placement(PlacementLocation.HEADER, "Authorization", Template("Bearer {access_token}")),))
    # What is asked of nobody, or of no HTTP server, or goes into the proof itself, has no place of its own.
    if binding.has_secrets and proof is Proof.REQUEST:
        table.complain("send", "says nowhere where the credential goes: it needs headers, query, basic or a signature")
    return sending


def read_basic(table: Table, binding: Binding) -> Basic:
    return Basic(read_template(table, "username", binding, may_be_empty=True), read_template(table, "password", binding, may_be_empty=True))


def read_signature(table: Table, binding: Binding) -> Signature | None:
    if (found := table.find_table("aws_signature")) is not None:
        return AwsSignature(read_template(found, "service", binding), read_template(found, "region", binding))
    if (found := table.find_table("oauth1")) is not None:
        return OAuth1Signature(
            consumer_key=read_template(found, "consumer_key", binding),
            consumer_secret=read_template(found, "consumer_secret", binding),
            token=read_template(found, "token", binding) if "token" in found else None,
            token_secret=read_template(found, "token_secret", binding) if "token_secret" in found else None,
            method=found.choice("method", _OAUTH1_METHODS, "HMAC-SHA256"),
            realm=read_template(found, "realm", binding) if "realm" in found else None,
        )
    return None


def read_login(table: Table, binding: Binding) -> Login:
    return Login(
        protocol=table.choice("protocol", _PROTOCOLS, LoginProtocol.LDAP.value),
        host=read_template(table, "host", binding),
        port=read_template(table, "port", binding),
        security=read_template(table, "security", binding),
        username=read_template(table, "username", binding),
        password=read_template(table, "password", binding, may_be_empty=True),
    )


def read_verifications(root: Table, table: Table, proof: Proof, base_url: Template, binding: Binding) -> tuple[Verification, ...]:
    """The requests that prove a credential: the option's own, or else those of the whole connector."""
    if proof is not Proof.REQUEST:
        for key in ("verify", "verify_also"):
            if key in table:
                table.complain(key, f'with proof = "{proof}" no request proves it')
        return ()
    owner = table if "verify" in table else root
    first = owner.find_table("verify")
    if first is None:
        table.complain("verify", "nothing proves the credential: it needs a request, or a proof that says why there is none")
        return ()
    return tuple(_verification(found, base_url, binding) for found in (first, *owner.tables("verify_also")))


def _verification(table: Table, base_url: Template, binding: Binding) -> Verification:
    expect = [Expectation(path, values) for path, values in table.choices("expect").items()]
    verification = Verification(
        url=_proof_url(table, base_url, binding),
        method=table.choice("method", _METHODS, "GET"),
        headers=read_templates(table, "headers", binding),
        body=read_template(table, "body", binding, other_braces=True, may_be_empty=True) if "body" in table else None,
        form=read_templates(table, "form", binding, other_braces=True),
        statuses=table.numbers("statuses", (200,)),
        expect=(*expect, *(Expectation(path) for path in table.texts("expect_present"))),
        contains=table.texts("contains"),
        busy=tuple(Expectation(path, values) for path, values in table.choices("busy").items()),
        account=_paths(table, "account"),
        rejected=table.numbers("rejected", (401, 403)),
        signature=read_signature(table, binding),
    )
    if verification.body is not None and verification.form:
        table.complain("form", "stands instead of body, not beside it")
    return verification


def _paths(table: Table, key: str) -> tuple[str, ...]:
    """One path, or several of which the first that holds something counts."""
    value: Any = table.find_any(key)
    return table.texts(key) if isinstance(value, list) else tuple(filter(None, (table.find_text(key),)))


def _proof_url(table: Table, base_url: Template, binding: Binding) -> Template:
    """`path` below the option's base URL, or a `url` elsewhere."""
    path = table.find_text("path")
    if "url" in table:
        if path is not None:
            table.complain("url", "stands instead of path, not beside it")
        return read_url(table, "url", binding)
    if path is None:
        table.complain("path", "is missing")
    elif not path.startswith(("/", "{", "?")) and path:
        table.complain("path", "must start with a slash")
    else:
        for problem in binding.url_problems(Template(base_url.text + path)):
            table.complain("path", problem)
    return Template(base_url.text + (path or ""))
