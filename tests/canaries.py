"""Every secret is a canary: what a test makes or types as a secret is noticed where it is made, and looked for in what the test lets out.

Each place where a secret comes into being is a row of `SLOTS`. After each test every secret of it is looked for, raw and as base64,
base64url, hexadecimal and URL-encoded text, in what was let out: log records, the bodies and frames that our applications answered with,
audit entries, events, messages to webhooks, the sentences of expected errors, what pytest captured, and the files of databases and
couriers below the test's folder. One that is found fails the test, by the name of its slot and of the channel, never by its text.

A test of something that shows a secret, because that is what it is for, says so by `@pytest.mark.shows_secrets("why", "channel", "slot")`;
the slot may be left out, and the channel too.

Not looked into: PostgreSQL's files (`tests/attacks/test_secrets.py` looks into a dump), what other processes print and log, cookies and
redirects, which carry what they are for, and the file of the sandbox, which is somebody else's provider. Texts of fewer than 16 characters
or 8 different ones are too likely to be found by chance.
"""

import base64
import json
import logging
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette

import models
from api.errors import PatchbayError
from api.logs import TALKATIVE
from api.oauth import assertions
from api.oauth.tokens import TokenSet
from api.organization import tokens
from api.organization.tokens import TokenText
from api.secret import Secret
from api.settings import Settings
from api.vault.keys import MasterKey
from api.vault.vault import Place, Ring, Vault
from models.database_url import DatabaseUrl

_SHORTEST, _FEWEST_DIFFERENT = 16, 8
_MOST_SECRETS = 300
_MOST_BYTES = 4 * 1024 * 1024
_PAGE = 4096
# What can hold a text: the rest of a file is sealed, or numbers.
_RUNS = re.compile(rb"[\x21-\x7e]{%d,}" % _SHORTEST)
_FILES = ("*.db", "*.db-wal", "*.db-journal", "journal.[01]")

# Where each secret comes into being, and so what it is called when it is found.
SLOTS = {
    "master key": "MasterKey",
    "data key": "Ring.of",
    "derivation key": "Vault",
    "courier’s key": "Vault.derived_key",
    "access token": "TokenSet",
    "refresh token": "TokenSet",
    "id token": "TokenSet",
    "operator’s client secret": "Vault.seal",
    "own app’s client secret": "Vault.seal",
    "previous client secret": "Vault.seal",
    "typed token": "Vault.seal",
    "typed password": "Vault.seal",
    "typed API key": "Vault.seal",
    "typed AWS secret key": "Vault.seal",
    "typed private key": "Vault.seal",
    "other typed field": "Vault.seal",
    "PKCE verifier": "Vault.seal",
    "answer in the token journal": "Vault.seal",
    "webhook secret": "Vault.seal",
    "webhook’s former secret": "Vault.seal",
    "signed assertion": "assertions.sign",
    "state or flow cookie": "tokens.new_cookie",
    "session cookie": "tokens.new_cookie",
    "sign-in link": "tokens.new_cookie",
    "API token": "TokenText",
    "OIDC client secret": "Settings",
    "database password": "Settings",
    "transit token": "Settings",
    "material of a fingerprint": "Vault.fingerprint",
}
_TYPED = {
    "token": "typed token",
    "password": "typed password",
    "api_key": "typed API key",
    "secret_access_key": "typed AWS secret key",
    "private_key": "typed private key",
}
_SEALED = {"code_verifier": "PKCE verifier", "access_token": "access token", "refresh_token": "refresh token"}
_MADE_IN = {"open_session": "session cookie", "new_sign_in_link": "sign-in link"}
_SETTINGS = {"oidc_client_secret": "OIDC client secret", "transit_token": "transit token"}


@dataclass(slots=True)
class Canaries:
    """The secrets of one test, and what it let out."""

    secrets: dict[bytes, str] = field(default_factory=dict)
    # The slots that had one, also where another slot had the same.
    slots: set[str] = field(default_factory=set)
    let_out: dict[str, list[bytes]] = field(default_factory=dict)
    # The pages of the empty database, in which nothing of a test is.
    template: frozenset[bytes] = frozenset()

    def begin(self) -> None:
        """Forget the test before."""
        self.secrets.clear()
        self.slots.clear()
        self.let_out.clear()

    def plant(self, slot: str, secret: str | bytes | Secret | None) -> None:
        """Look for this secret from now on, unless it is too short or too plain to be told from chance."""
        assert slot in SLOTS, slot
        text = secret.reveal() if isinstance(secret, Secret) else secret
        value = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text or b""
        if b"PRIVATE KEY" in value:
            # Of a key over several lines, one that is nobody else's.
            value = max(value.split(), key=len)
        if len(value) >= _SHORTEST and len(set(value)) >= _FEWEST_DIFFERENT and len(self.secrets) < _MOST_SECRETS:
            self.secrets.setdefault(value, slot)
            self.slots.add(slot)

    def note(self, channel: str, shown: object) -> None:
        """Something that the test lets out."""
        text = shown if isinstance(shown, bytes) else str(shown).encode("utf-8", "surrogatepass")
        self.let_out.setdefault(channel, []).append(text)

    def know_template(self, file: Path) -> None:
        self.template = frozenset(_pages(file.read_bytes()))

    def note_files(self, folder: Path) -> None:
        for file in (file for pattern in _FILES for file in folder.rglob(pattern)):
            if file.is_file() and not file.name.startswith("sandbox.db"):
                self.note(f"the file {file.name}", self._changed(file.read_bytes()[:_MOST_BYTES]))

    def found(self) -> set[tuple[str, str]]:
        """Of which slots secrets are in what was let out, and in which channel."""
        if not self.secrets or not self.let_out:
            return set()
        needles = [(form, slot) for secret, slot in self.secrets.items() for form in _forms(secret)]
        seen = set()
        for channel, shown in self.let_out.items():
            # Keys are bytes, and may stand among other bytes; all other forms are texts.
            everything = b"\0".join(shown)
            texts = b"\n".join(set(_RUNS.findall(everything)))
            binary = [(secret, slot) for secret, slot in self.secrets.items() if not _RUNS.fullmatch(secret)]
            seen |= {(slot, channel) for form, slot in needles if form in texts}
            seen |= {(slot, channel) for secret, slot in binary if secret in everything}
        return seen

    def _changed(self, content: bytes) -> bytes:
        if not content.startswith(b"SQLite format 3"):
            return content
        return b"".join(page for page in _pages(content) if page not in self.template)


def _pages(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _PAGE] for start in range(0, len(content), _PAGE))


def _forms(secret: bytes) -> set[bytes]:
    """A secret as it is, and as it is written where it is encoded; within a longer text base64 begins at one of three places."""
    forms = {secret, secret.hex().encode(), quote(secret, safe="").encode()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret)
        # Without what the neighbours have a part in.
        middle = encoded[(0, 2, 3)[shift] : len(encoded) - 4]
        forms |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


CANARIES = Canaries()


# Where secrets are made


def _after(owner: Any, name: str, notice: Callable[..., None]) -> None:
    """Have somebody notice each call of a method: its result, then what it was called with."""
    original = getattr(owner, name)
    inner = original.__func__ if isinstance(original, classmethod) or hasattr(original, "__self__") else original

    @wraps(inner)
    def noticed(*args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        notice(result, *args, **kwargs)
        return result

    setattr(owner, name, classmethod(noticed) if inner is not original else noticed)


def _replace(module: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Also where it was imported by its name."""
    original = getattr(module, name)
    for each in list(sys.modules.values()):
        if getattr(each, "__name__", "").startswith("api") and getattr(each, name, None) is original:
            setattr(each, name, replacement)


def _sealed(_: object, __: Vault, plain: bytes, place: Place) -> None:
    match place.table, place.column:
        case "oauth_app", "client_secret":
            CANARIES.plant("operator’s client secret" if place.folder is None else "own app’s client secret", plain)
        case "oauth_app", "previous_secret":
            CANARIES.plant("previous client secret", plain)
        case "webhook", "secret":
            CANARIES.plant("webhook secret", plain)
        case "webhook", "previous_secret":
            CANARIES.plant("webhook’s former secret", plain)
        case "token_journal", _ if plain.startswith(b"{"):
            CANARIES.plant("answer in the token journal", plain)
        case (("credential" | "authorization_flow"), _) if plain.startswith(b"{"):
            stored = json.loads(plain)
            for name, value in stored.get("fields", {}).items():
                CANARIES.plant(_TYPED.get(name, "other typed field"), value)
            for name, slot in _SEALED.items():
                CANARIES.plant(slot, stored.get(name))


def _ringed(_: object, __: type[Ring], keys: Mapping[int, bytes], **___: Any) -> None:
    for key in keys.values():
        CANARIES.plant("data key", key)


def _granted(_: object, tokens: TokenSet, *__: Any, **___: Any) -> None:
    CANARIES.plant("access token", tokens.access_token)
    CANARIES.plant("refresh token", tokens.refresh_token)
    CANARIES.plant("id token", tokens.id_token)


def _set(_: object, settings: Settings, *__: Any, **___: Any) -> None:
    for name, slot in _SETTINGS.items():
        CANARIES.plant(slot, getattr(settings, name))
    try:
        CANARIES.plant("database password", DatabaseUrl.parse(settings.database_url.reveal()).credentials.get("password"))
    # What is no address has no password.
    except ValueError:
        return


def _watch_secrets() -> None:
    new_cookie, sign = tokens.new_cookie, assertions.sign

    @wraps(new_cookie)
    def noticed_cookie() -> Secret:
        cookie = new_cookie()
        CANARIES.plant(_MADE_IN.get(sys._getframe(1).f_code.co_name, "state or flow cookie"), cookie)
        return cookie

    @wraps(sign)
    def noticed_assertion(*args: Any) -> Secret:
        assertion = sign(*args)
        CANARIES.plant("signed assertion", assertion)
        return assertion

    _replace(tokens, "new_cookie", noticed_cookie)
    _replace(assertions, "sign", noticed_assertion)
    _after(MasterKey, "__post_init__", lambda _, key: CANARIES.plant("master key", key.key))
    _after(Ring, "of", _ringed)
    _after(Vault, "__init__", lambda _, __, ___, *, derivation_key, **____: CANARIES.plant("derivation key", derivation_key))
    _after(Vault, "derived_key", lambda key, *_, **__: CANARIES.plant("courier’s key", key))
    _after(Vault, "seal", _sealed)
    _after(Vault, "fingerprint", lambda _, __, secret: CANARIES.plant("material of a fingerprint", secret))
    _after(TokenSet, "__init__", _granted)
    _after(TokenText, "__init__", lambda _, token, *__, **___: CANARIES.plant("API token", token.secret))
    _after(Settings, "__init__", _set)


# What is let out


class _Log(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Where people run it these say nothing below INFO, whatever a test makes them say; and those are of the test itself.
        if record.name.startswith(_OF_TESTS) or (record.levelno < logging.INFO and record.name.startswith(TALKATIVE)):
            return
        CANARIES.note("the log", record.getMessage())
        own = {name: value for name, value in record.__dict__.items() if name not in _USUAL}
        CANARIES.note("the log", own)
        if record.exc_info:
            CANARIES.note("the log", logging.Formatter().formatException(record.exc_info))


# The browser of a test, and the log of requests, which `patchbay serve` does without.
_OF_TESTS = ("httpx2", "httpcore", "uvicorn.access")
_LOG = _Log()
_USUAL = {*logging.makeLogRecord({}).__dict__, "message", "args"}


def _watch_log() -> None:
    # Beside the levels, which tests set: what is logged at INFO is let out where people run it.
    write = logging.Logger.info

    @wraps(write)
    def info(logger: logging.Logger, message: object, *args: object, **more: Any) -> None:
        if logger.name.startswith(("api", "models")) and not logger.isEnabledFor(logging.INFO):
            CANARIES.note("the log", (message, args, more.get("extra")))
        write(logger, message, *args, **{"stacklevel": 2} | more)

    logging.Logger.info = info  # type: ignore[method-assign, assignment]


def _watch_answers() -> None:
    call = Starlette.__call__

    @wraps(call)
    async def answered(app: Starlette, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            CANARIES.note("an answer", message.get("body") or message.get("text") or message.get("bytes") or b"")
            await send(message)

        # The sandbox is a provider, and so are applications that tests make: they hand out tokens.
        is_ours = hasattr(app.state, "patchbay") and not scope.get("path", "").startswith("/sandbox/")
        await call(app, scope, receive, noted if is_ours else send)

    Starlette.__call__ = answered  # type: ignore[method-assign, assignment]


def _watch_rows_and_errors() -> None:
    watched = {models.AuditEntry: "the audit log", models.ConnectionEvent: "an event", models.WebhookDelivery: "a message"}
    for model, channel in watched.items():
        _after(model, "__init__", lambda _, __, channel=channel, **columns: CANARIES.note(channel, columns))
    _after(PatchbayError, "__init__", lambda _, error, *__, **___: CANARIES.note("an error", (error.args, error.message, error.remedy)))


# As a plugin


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "shows_secrets(why, channel, slot): shows a secret, by this channel or by any, because it is for that"
    )
    _watch_secrets()
    _watch_log()
    _watch_answers()
    _watch_rows_and_errors()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    CANARIES.begin()
    # Each time: a test that sets logging up takes every handler away.
    logging.getLogger().addHandler(_LOG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Before the fixtures end: the files of an open database hold the most.
    if call.when == "call" and (shown := shown_by(item, report)):
        told = "; ".join(f"{slot} shown by {channel}" for slot, channel in sorted(shown))
        report.outcome, report.longrepr = "failed", f"{report.longreprtext}\nA secret was let out: {told}.".lstrip()
    return report


def shown_by(item: pytest.Item, report: pytest.TestReport) -> set[tuple[str, str]]:
    """Of which slots a test let secrets out, and by which channels, that it may not show."""
    if isinstance(folder := getattr(item, "funcargs", {}).get("tmp_path"), Path):
        CANARIES.note_files(folder)
    for name, text in report.sections:
        # The log is watched where it is written.
        if not name.startswith("Captured log"):
            CANARIES.note(name.lower(), text)
    CANARIES.note("the report", report.longreprtext)
    return {(slot, channel) for slot, channel in CANARIES.found() if not _may_show(item, slot, channel)}


def _may_show(item: pytest.Item, slot: str, channel: str) -> bool:
    marks = [mark.args[1:] for mark in item.iter_markers("shows_secrets")]
    return any(args in ((), (channel,), (channel, slot)) for args in marks)
