"""A vendor, played from its description: strict, and with a memory of all that did not fit."""

import hmac
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

from api.clock import Clock
from api.outbound.http import Answer
from tests.catalog.simulator.comparing import Comparison
from tests.catalog.simulator.routes import Act, Route, routes_of
from tests.catalog.simulator.signatures import Arrived
from tests.catalog.simulator.values import PASSPHRASE, filled, fingerprint, names_in, pattern_of, typed
from tests.catalog.simulator.vendor import Reply, Tokens, Way

CLIENT_ID = "app-7f3a"
CLIENT_SECRET = "app-secret-19c2"

_CLIENT = frozenset({"client_id", "client_secret"})
_GIVEN = frozenset({"access_token", "refresh_token", "code", "code_verifier", "assertion"})
_CHALLENGE = frozenset({"code_challenge", "code_challenge_method"})


class Player:
    """Plays one way to authenticate."""

    def __init__(self, way: Way, *, redirect_uri: str, clock: Clock) -> None:
        self.way = way
        # What no credential explains, and what was refused because of the credential.
        self.complaints: list[str] = []
        self.refusals: list[str] = []
        self.acts: Counter[Act] = Counter()
        self.requests: list[Arrived] = []
        # Scopes that the person does not grant.
        self.withheld: set[str] = set()
        # What Patchbay must make of the last refusal.
        self.reason: str | None = None
        self._clock = clock
        self._secrets = _GIVEN | _CLIENT | way.secret.keys()
        self._dead: frozenset[str] = frozenset()
        self._challenge: str | None = None
        self._scopes: Sequence[str] = way.all_scopes
        self._grants = 0
        self._values = typed({**way.typed, **way.secret}) | {"rsa_fingerprint": fingerprint(), "redirect_uri": redirect_uri}
        if way.authorize is not None:
            self._values |= {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}

    def typed(self) -> dict[str, str]:
        """What a person types."""
        return typed({**self.way.typed, **self.way.secret})

    def typed_wrongly(self) -> dict[str, str]:
        """The same with other secrets."""
        others = typed(self.way.secret, holder=" of somebody else")
        wrong = {name: other if other != self._values[name] else _changed(other) for name, other in others.items() if other != PASSPHRASE}
        return {**self.typed(), **wrong, **self.way.wrong}

    def kill(self) -> None:
        """From now on nothing is good that was so far, nor what comes of it."""
        self._dead = _GIVEN | self.way.secret.keys()

    def kill_access(self) -> None:
        """From now on no call is answered, though tokens are given."""
        self._dead = frozenset({"access_token", *(self.way.secret if self.way.token is None else ())})

    def consent(self, url: str, scopes: Sequence[str] | None = None) -> list[tuple[str, str]]:
        """A person consents: what the browser brings back. `scopes` are those that should be asked for; None: whichever there are."""
        way, (place, _, query) = self.way, url.partition("?")
        expected, _, extra = (way.authorize or "").partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        if place != expected:
            self.complaints.append(f"a consent is asked for at {place}, not at {expected}")
        parameters = [way.scope_parameter, *way.further_scopes]
        asked = [name for one in parameters for name in given.get(one, "").split(way.scope_separator) if name]
        self._scopes = asked if scopes is None else scopes
        self._check_consent(given, dict(parse_qsl(extra, keep_blank_values=True)))
        self._scopes = [name for name in self._scopes if name not in self.withheld]
        self._challenge = given.get("code_challenge")
        self._values["code"] = f"code-{way.vendor}"
        back = {**way.callback, "code": self._values["code"], "state": given.get("state", "")}
        if way.callback_signature is not None:
            text = "&".join(f"{name}={value}" for name, value in sorted(back.items()))
            back[way.callback_signature] = hmac.new(CLIENT_SECRET.encode(), text.encode(), "sha256").hexdigest()
        return list(back.items())

    def answer(self, request: Arrived) -> Answer:
        self.requests.append(request)
        place = request.url.partition("?")[0]
        routes = [route for route in self._routes() if route.method == request.method and pattern_of(route.url).fullmatch(place)]
        if not routes:
            self.complaints.append(f"nobody asks by {request.method} {request.url}")
            return Answer(404)
        comparison = Comparison(self._values, self._secrets, self._challenge, self.way.assertion, self._clock())
        # Several things may be asked at one place: the request means the one that it is nearest to.
        route, differences = min(((route, comparison.differences(route, request)) for route in routes), key=lambda found: len(found[1]))
        self.complaints += [f"{request.method} {place}: {one.what}" for one in differences if not one.secrets]
        wrong = frozenset[str]().union(*(one.secrets for one in differences)) | (self._needed(route) & self._dead)
        if wrong:
            self.refusals.append(f"{request.method} {place}: {'; '.join(one.what for one in differences) or 'it is dead'}")
            return self._refuse(route, wrong)
        if differences:
            return Answer(400)
        self.acts[route.act] += 1
        return self._give(route.act, route.asked, request) if isinstance(route.asked, Tokens) else self._reply(route.asked.reply)

    def _check_consent(self, given: Mapping[str, str], extra: Mapping[str, str]) -> None:
        way = self.way
        expected = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": self._values["redirect_uri"], **extra}
        for parameter, known in {way.scope_parameter: way.scopes, **way.further_scopes}.items():
            if (asked := [name for name in self._scopes if name in known]) and parameter:
                expected[parameter] = way.scope_separator.join(asked)
        for name in sorted((given.keys() | expected.keys()) - _CHALLENGE - {"state"}):
            if given.get(name) != expected.get(name):
                self.complaints.append(f"the consent has {name} = {given.get(name)}, not {expected.get(name)}")
        if unknown := set(self._scopes) - set(way.all_scopes):
            self.complaints.append(f"there is no scope {', '.join(sorted(unknown))}")
        if not 24 <= len(given.get("state", "")) <= 1024:
            self.complaints.append("the state is too short, or too long")
        challenged = "code_challenge" in given
        if (way.pkce == "required" and not challenged) or (way.pkce == "refused" and challenged):
            self.complaints.append(f"a challenge (PKCE) is {way.pkce}")
        if challenged and given.get("code_challenge_method") != "S256":
            self.complaints.append("the challenge is not S256")

    def _routes(self) -> list[Route]:
        return list(routes_of(self.way, self._scopes, has_challenge=self._challenge is not None))

    def _needed(self, route: Route) -> frozenset[str]:
        """The secrets that a request shows."""
        texts = [route.url, *route.query.values(), *route.headers.values(), *(route.basic or ()), *route.contains, route.form, route.json]
        named = frozenset[str]().union(*(names_in(text) for text in texts if text is not None))
        return self._secrets & (named | (self.way.secret.keys() if route.signed else frozenset()))

    def _refuse(self, route: Route, wrong: frozenset[str]) -> Answer:
        refusal = route.asked.refuses
        if isinstance(route.asked, Tokens) and (wrong & _CLIENT or (route.asked.client == "assertion" and "assertion" in wrong)):
            refusal = route.asked.refuses_client
        self.reason = refusal.reason
        return self._reply(refusal)

    def _give(self, act: Act, tokens: Tokens, request: Arrived) -> Answer:
        """New tokens; a code is good once, and a refresh token too where the vendor has it so."""
        self._grants += 1
        self._values["access_token"] = f"access-{self._grants}"
        self._values.pop("code", None)
        refresh = self.way.refresh
        refreshes = refresh is not None and not refresh.swaps and (act is Act.EXCHANGE or tokens.rotates)
        if refreshes:
            self._values["refresh_token"] = f"refresh-{self._grants}"
        answer = tokens.answer
        if answer is None:
            answer = {"access_token": "{access_token}", "token_type": "Bearer"}
            answer |= {} if tokens.lifetime is None else {"expires_in": tokens.lifetime}
            answer |= {"refresh_token": "{refresh_token}"} if refreshes else {}
            if self._scopes and tokens.scope_answer != "none":
                answer["scope"] = list(self._scopes) if tokens.scope_answer == "list" else tokens.scope_answer.join(self._scopes)
            answer |= tokens.also
        ends_at = self._clock() + timedelta(seconds=tokens.lifetime or 0)
        self._values["ends_at"] = ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        if tokens.answers_forms and "application/json" not in request.headers.get("accept", ""):
            return self._reply(Reply(form={name: str(value) for name, value in answer.items()}))
        return self._reply(Reply(status=tokens.status, json=answer))

    def _reply(self, reply: Reply) -> Answer:
        values = self._values | {"scope": " ".join(self._scopes)}
        if reply.form is not None:
            form = urlencode(filled(reply.form, values))
            return Answer(reply.status, {"Content-Type": "application/x-www-form-urlencoded"}, form.encode())
        if reply.text is not None:
            return Answer(reply.status, {"Content-Type": "text/plain"}, str(filled(reply.text, values)).encode())
        return Answer(reply.status, {"Content-Type": "application/json"}, json.dumps(filled(reply.json, values)).encode())


def _changed(text: str) -> str:
    return ("x" if text[0] != "x" else "y") + text[1:]
