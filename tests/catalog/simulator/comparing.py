"""A request that came, held against one that is understood: every difference, and whether it is the credential that differs."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from tests.catalog.simulator.routes import Route
from tests.catalog.simulator.signatures import Arrived, BadSignature, Unsigned, check_assertion, check_aws, check_oauth1
from tests.catalog.simulator.values import filled, names_in
from tests.catalog.simulator.vendor import Assertion

# In the place of a value that is the client's own choice.
ANY = "{any}"
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True, slots=True)
class Difference:
    """`secrets` are those that are named where it is; none: something else is wrong than the credential."""

    what: str
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a vendor knows when a request arrives."""

    values: Mapping[str, str]
    secrets: frozenset[str]
    challenge: str | None
    assertion: Assertion | None
    now: datetime

    def differences(self, route: Route, request: Arrived) -> list[Difference]:
        url, _, query = request.url.partition("?")
        found = [*self._text("the address", route.url, url), *self._table("query", route.query, _pairs(query))]
        for name, text in route.headers.items():
            found += self._text(f"the header {name}", text, request.headers.get(name.lower()))
        return [*found, *self._authorization(route, request), *self._body(route, request)]

    def _authorization(self, route: Route, request: Arrived) -> Iterator[Difference]:
        given = request.headers.get("authorization")
        if route.signed is not None:
            try:
                (check_aws if route.signed.service else check_oauth1)(request, route.signed, self.values)
            except BadSignature as error:
                yield Difference(str(error), self.secrets)
            except Unsigned as error:
                yield Difference(str(error))
        elif route.basic is not None:
            yield from self._basic(route.basic[0], route.basic[1], given or "")
        elif given is not None and "authorization" not in {name.lower() for name in route.headers}:
            yield Difference("there is a header Authorization, which nobody asks for")

    def _basic(self, username: str, password: str, given: str) -> Iterator[Difference]:
        scheme, _, rest = given.partition(" ")
        if scheme != "Basic":
            yield Difference("there is no HTTP Basic")
            return
        user, _, secret = base64.b64decode(rest).decode().partition(":")
        yield from self._text("the user of Basic", username, user)
        yield from self._text("the password of Basic", password, secret)

    def _body(self, route: Route, request: Arrived) -> Iterator[Difference]:
        kind, body = request.headers.get("content-type", "").partition(";")[0], request.body.decode()
        if route.form is not None:
            if body and kind != _FORM:
                yield Difference(f"the body is {kind or 'of no type'}, not a form")
            yield from self._table("form", route.form, _pairs(body))
        elif route.json is not None:
            if kind != _JSON:
                yield Difference(f"the body is {kind or 'of no type'}, not JSON")
            yield from self._document("the body", route.json, _parsed(body))
        elif route.contains:
            for part in route.contains:
                if filled(part, self.values) not in body:
                    yield Difference(f"the body lacks {part}", names_in(part) & self.secrets)
        elif body:
            yield Difference(f"there is a body ({kind}: {body})")

    def _table(self, where: str, expected: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[Difference]:
        for name, value in expected.items():
            if isinstance(value, str):
                yield from self._text(f"{name} in the {where}", value, given.get(name))
            else:
                yield from self._document(f"{name} in the {where}", value, _parsed(given.get(name, "")))
        for name in given.keys() - expected.keys():
            yield Difference(f"{name} in the {where} is what nobody asks for")

    def _document(self, where: str, expected: Any, given: Any) -> Iterator[Difference]:
        """JSON; where tables differ, it is told by member."""
        if isinstance(expected, dict) and isinstance(given, dict):
            for name in expected.keys() | given.keys():
                yield from self._document(f"{name} in {where}", expected.get(name), given.get(name))
        elif isinstance(expected, list) and isinstance(given, list) and len(expected) == len(given):
            for number, (one, other) in enumerate(zip(expected, given, strict=True)):
                yield from self._document(f"{number} in {where}", one, other)
        elif isinstance(expected, str) and isinstance(given, str):
            yield from self._text(where, expected, given)
        elif filled(expected, self.values) != given:
            yield Difference(f"{where} is {given!r}, not {expected!r}")

    def _text(self, where: str, expected: str, given: str | None) -> Iterator[Difference]:
        if given is None:
            yield Difference(f"{where} is missing ({expected})")
        elif "{assertion}" in expected:
            yield from self._assertion(where, expected, given)
        elif "{code_verifier}" in expected:
            yield from self._verifier(given)
        elif expected != ANY and filled(expected, self.values) != given:
            yield Difference(f"{where} is {given!r}, not {filled(expected, self.values)!r}", names_in(expected) & self.secrets)

    def _assertion(self, where: str, expected: str, given: str) -> Iterator[Difference]:
        start, _, end = expected.partition("{assertion}")
        if self.assertion is None or not given.startswith(start) or not given.endswith(end):
            yield Difference(f"{where} does not have the form {expected}")
            return
        claims = filled(self.assertion.claims, self.values)
        key = "ec" if self.assertion.algorithm.startswith("ES") else "rsa"
        try:
            check_assertion(given[len(start) : len(given) - len(end)], self.assertion, key=key, claims=claims, now=self.now)
        except BadSignature as error:
            yield Difference(str(error), frozenset({"assertion"}))
        except Unsigned as error:
            yield Difference(str(error))

    def _verifier(self, given: str) -> Iterator[Difference]:
        """RFC 7636 section 4.6."""
        digest = hashlib.sha256(given.encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != self.challenge:
            yield Difference("the verifier is not that of the challenge")


def _pairs(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
