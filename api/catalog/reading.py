"""A connector file, read into the frozen types.

- `name`, `vendor`, `category`, `stage`, `evidence`, `documentation`, `base_url`, `headers`: who it is, and where its API is
- `requires`: constants without which the connector is not offered here
- `unconfirmed`: facts that nobody has seen confirmed yet, by key
- `fields`: what every option asks for, by name
- `verify`: the request that proves a credential; every option may have one of its own
- `consent`, `client_credentials`, `password`, `assertion`, `personal_access_token`, `api_key`, `basic`, `aws_access_key`, `custom`:
  the ways to authenticate, the best first; a further one of the same kind stands below `more`, by a name of its own, with its `kind`

What goes where: `path` of a proof stands below the base URL, `send` says where a credential goes in a call, and `{names}` are
filled in with fields, captured values and required constants.
"""

import re
from collections.abc import Iterable, Iterator

from api.catalog.binding import Binding
from api.catalog.connector import (
    VERIFY_EVERY,
    Case,
    Connector,
    ConnectorStage,
    Derivation,
    Evidence,
    Field,
    Option,
    Scope,
    Unconfirmed,
)
from api.catalog.grant import Discovery, Grant
from api.catalog.reading_grant import read_discovery, read_grant
from api.catalog.reading_using import read_login, read_sending, read_verifications
from api.catalog.table import Table
from api.catalog.template import Template
from api.catalog.templates import read_template, read_templates, read_url
from api.catalog.using import Proof
from models import AuthenticationType

KINDS = {
    "consent": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "client_credentials": AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    "password": AuthenticationType.OAUTH2_PASSWORD,
    "assertion": AuthenticationType.OAUTH2_JWT_BEARER,
    "personal_access_token": AuthenticationType.PERSONAL_ACCESS_TOKEN,
    "api_key": AuthenticationType.API_KEY,
    "basic": AuthenticationType.BASIC,
    "aws_access_key": AuthenticationType.AWS_ACCESS_KEY,
    "custom": AuthenticationType.CUSTOM,
}
_ALWAYS_GRANTED = frozenset(
    {
        AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
        AuthenticationType.OAUTH2_PASSWORD,
        AuthenticationType.OAUTH2_JWT_BEARER,
    }
)
# What the protocol asks a person for in any case, besides the fields of the file: by name, where the file has no words of its own.
_ASKED_BY_TYPE = {
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS: ("client_id", "client_secret"),
    AuthenticationType.OAUTH2_PASSWORD: ("client_id", "client_secret", "username", "password"),
}
_USUAL_FIELDS = {
    "client_id": Field("client_id", "Client ID"),
    "client_secret": Field("client_secret", "Client secret", secret=True),
    "username": Field("username", "User name"),
    "password": Field("password", "Password", secret=True),
}

_STAGES = {"generally-available": ConnectorStage.GENERALLY_AVAILABLE, "preview": ConnectorStage.PREVIEW, "legacy": ConnectorStage.LEGACY}
_PROOFS = {proof.value: proof for proof in Proof}
_EVIDENCE = {evidence.value: evidence for evidence in Evidence}
_CASES = {case.value: case for case in Case}
_APPS = ("operator", "own")

# Names that the engine gives values to itself.
_RESERVED_FIELDS = {"access_token", "refresh_token", "client_id", "client_secret", "account", "redirect_uri"}


def read_connector(key: str, root: Table) -> Connector:
    """The connector that the file describes; worth something only where it made no mistake."""
    requires = root.texts("requires")
    binding = Binding({}, frozenset(requires)).with_fields(_fields(root, _RESERVED_FIELDS | {"token"}))
    connector = Connector(
        key=key,
        name=root.text("name"),
        vendor=root.find_text("vendor"),
        category=_slug(root, "category"),
        stage=root.choice("stage", _STAGES, "generally-available"),
        documentation_url=_documentation(root),
        # Where no option speaks HTTP there is none.
        base_url=Template(root.find_text("base_url") or ""),
        headers={name: Template(text) for name, text in root.mapping("headers").items()},
        fields=tuple(binding.fields.values()),
        options=tuple(_option(root, key, table, kind, binding) for key, table, kind in _option_tables(root)),
        evidence=root.choice("evidence", _EVIDENCE, Evidence.VENDOR_DOCUMENTED.value),
        unconfirmed=_unconfirmed(root),
    )
    if not connector.options:
        root.complain("", "offers no way to authenticate: it needs one of " + ", ".join(KINDS))
    _complain_about_unused_captures(root, connector)
    for name in (*KINDS, "verify", "verify_also"):
        root.find_any(name)
    return connector


def _option_tables(root: Table) -> Iterator[tuple[str, Table, AuthenticationType]]:
    """Every option of the file, by its key."""
    for name in root:
        if name in KINDS:
            yield name, root.table(name), KINDS[name]
    more = root.table("more")
    for name in more:
        if re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name) is None or name in KINDS:
            more.complain(name, "an option has a name of its own, in lower case, with digits and underscores")
        yield name, more.table(name), more.table(name).choice("kind", KINDS, "api_key")


def _option(root: Table, key: str, table: Table, type: AuthenticationType, binding: Binding) -> Option:
    own = _option_fields(table, type, binding)
    binding = binding.with_fields(own)
    operator_app, own_app = _apps(table, type)
    grant = None
    # A token that is got by what somebody typed, whatever that is called.
    if type in _ALWAYS_GRANTED or "token_url" in table or "assertion" in table:
        grant = read_grant(table, type, binding, operator_app)
    usable = binding.after_capturing({*grant.callback_capture, *grant.token_capture} if grant else ())
    usable = usable.plus("access_token") if grant else usable
    discovery = read_discovery(found, binding, usable) if (found := table.find_table("discovery")) is not None else None
    if discovery is not None:
        captured = {*discovery.capture, *(name for name in usable.fields if not usable.fields[name].asked)}
        usable = binding.after_capturing(captured).plus(*usable.names)
    proof = table.choice("proof", _PROOFS, Proof.REQUEST.value)
    if proof is Proof.TOKEN_EXCHANGE and (grant is None or grant.token_url is None):
        table.complain("proof", "there is no token exchange here")
    sending = read_sending(table, usable, has_token=grant is not None, proof=proof)
    base_url = Template("")
    if "base_url" in table or "base_url" in root or proof is Proof.REQUEST:
        base_url = read_url(table if "base_url" in table else root, "base_url", usable)
    read_templates(root, "headers", usable)
    return Option(
        key=key,
        type=type,
        label=table.text("label"),
        fields=tuple(own.values()),
        scopes=_scopes(table, grant, binding),
        grant=grant,
        discovery=discovery,
        placements=sending.placements,
        basic=sending.basic,
        signature=sending.signature,
        login=read_login(table.table("login"), usable) if proof is Proof.LOGIN else None,
        headers=read_templates(table, "headers", usable),
        base_url=base_url if "base_url" in table else None,
        proof=proof,
        verifications=read_verifications(root, table, proof, base_url, usable),
        account=read_template(table, "account", usable) if "account" in table else None,
        legacy=table.flag("legacy", False),
        bring_your_own_app=own_app,
        operator_app=operator_app,
        verify_every=table.find_duration("verify_every") or VERIFY_EVERY,
    )


# Fields and scopes


def _fields(table: Table, reserved: Iterable[str]) -> dict[str, Field]:
    fields = table.table("fields")
    for name in fields:
        if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
            fields.complain(name, "a field is named in lower case, with digits and underscores")
        if name in reserved:
            fields.complain(name, "is a name that has a meaning already")
    return {name: _field(fields.table(name), name) for name in fields}


def _field(table: Table, name: str) -> Field:
    field = Field(
        name=name,
        label=table.text("label"),
        secret=table.flag("secret", False),
        required=table.flag("required", True),
        default=table.find_text("default"),
        example=table.find_text("example"),
        pattern=_pattern(table),
        help=table.find_text("help"),
        options=table.texts("options") or None,
        asked=table.flag("asked", "derive" not in table),
        derivation=_derivation(table),
        longest=table.find_number("longest"),
    )
    if field.longest is not None and field.longest < 1:
        table.complain("longest", "must be at least 1")
    if field.derivation is not None and field.asked:
        table.complain("asked", "what is derived is asked of nobody")
    for key, value in (("default", field.default), ("example", field.example)):
        # An empty text in the form is no value: it is never held against the pattern.
        if value and field.problem(value):
            table.complain(key, "is not a value that the field takes")
    if field.secret and field.default is not None:
        table.complain("default", "a secret has no default")
    if not field.asked and not field.secret and field.pattern is None and field.options is None:
        table.complain("asked", "a value that nobody is asked for needs a pattern or options")
    return field


def _pattern(table: Table, key: str = "pattern") -> str | None:
    pattern = table.find_text(key)
    try:
        re.compile(pattern or "", re.ASCII)
    except re.error as error:
        table.complain(key, f"is not a regular expression: {error}")
        return None
    return pattern


def _derivation(table: Table) -> Derivation | None:
    found = table.find_table("derive")
    if found is None:
        return None
    match = _pattern(found, "match")
    if match is not None and re.compile(match).groups != 1:
        found.complain("match", "has one group, which is the value")
    return Derivation(
        source=found.text("from"),
        path=found.find_text("path"),
        match=match,
        fingerprint=found.flag("fingerprint", False),
        passphrase=found.find_text("passphrase"),
        replace=found.mapping("replace"),
        case=found.find_choice("case", _CASES),
    )


def _option_fields(table: Table, type: AuthenticationType, binding: Binding) -> dict[str, Field]:
    # Asked for in any case, first, and by the vendor's words where the file has them.
    usual = {name: _USUAL_FIELDS[name] for name in _ASKED_BY_TYPE.get(type, ())}
    if type is AuthenticationType.OAUTH2_CLIENT_CREDENTIALS and "assertion" in table:
        del usual["client_secret"]
    reserved = _RESERVED_FIELDS | {"token"} if type.needs_consent else _RESERVED_FIELDS - {"client_id", "client_secret"}
    own = usual | _fields(table, reserved)
    known = {**binding.fields, **own}
    for name in own.keys() & binding.fields.keys():
        table.table("fields").complain(name, "is a field of the whole connector already")
    for name, field in own.items():
        if field.derivation is not None and (field.derivation.source not in known or not known[field.derivation.source].asked):
            table.table("fields").table(name).table("derive").complain("from", "must name a field that is asked for")
    return own


def _scopes(table: Table, grant: Grant | None, binding: Binding) -> tuple[Scope, ...]:
    if grant is None:
        return ()
    scopes: dict[str, Scope] = {}
    for entry in table.tables("scopes"):
        name = entry.text("name")
        if name in scopes:
            entry.complain("name", f"“{name}” is listed already")
        if re.fullmatch(r"[!-~]+", name) is None or grant.scope_separator in name:
            entry.complain("name", "is not one scope")
        for problem in binding.before_captures().problems(Template(name)):
            entry.complain("name", problem)
        scopes[name] = Scope(
            name,
            entry.flag("mandatory", False),
            entry.flag("default", False),
            entry.find_text("description"),
            entry.find_text("parameter"),
            entry.flag("answered", True),
            entry.texts("answered_as"),
        )
    return tuple(scopes.values())


def _apps(table: Table, type: AuthenticationType) -> tuple[bool, bool]:
    """Whose OAuth apps may be used: the operator's, one's own."""
    if type is not AuthenticationType.OAUTH2_AUTHORIZATION_CODE:
        return True, True
    apps = table.texts("apps", tuple(_APPS))
    if not apps or not set(apps) <= set(_APPS):
        table.complain("apps", "must name " + ", ".join(_APPS) + ", or both")
    return "operator" in apps, "own" in apps


def _complain_about_unused_captures(root: Table, connector: Connector) -> None:
    captured: set[str] = set()
    for option in connector.options:
        captured |= _captured_by(option.grant, option.discovery)
    declared = [(root.table("fields"), field) for field in connector.fields]
    for (_, table, _), option in zip(_option_tables(root), connector.options, strict=True):
        declared += [(table.table("fields"), field) for field in option.fields]
    for table, field in declared:
        if not field.asked and field.derivation is None and field.name not in captured:
            table.complain(field.name, "is asked of nobody, and nothing captures it")


def _captured_by(grant: Grant | None, discovery: Discovery | None) -> set[str]:
    return {*(grant.callback_capture if grant else ()), *(grant.token_capture if grant else ()), *(discovery.capture if discovery else ())}


# The head of the file


def _slug(table: Table, key: str) -> str:
    text = table.text(key)
    if text and re.fullmatch(r"[a-z][a-z0-9-]*", text) is None:
        table.complain(key, "is written in lower case, with hyphens")
    return text


def _documentation(root: Table) -> str | None:
    url = root.find_text("documentation")
    if url is not None and re.fullmatch(r"https://[!-~]+", url) is None:
        root.complain("documentation", "must be an https:// URL")
    return url


def _unconfirmed(root: Table) -> tuple[Unconfirmed, ...]:
    facts = []
    for entry in root.tables("unconfirmed"):
        facts.append(Unconfirmed(entry.text("key"), entry.text("what")))
        if facts[-1].key and not root.has(facts[-1].key):
            entry.complain("key", f"there is no “{facts[-1].key}” in this file")
    return tuple(facts)
