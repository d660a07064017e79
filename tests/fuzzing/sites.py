"""Values of the fields that go into URLs: what a connector takes never leads a request to a host that is not its own."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from hypothesis import strategies as st

from api.catalog.connector import Connector, Field, Option
from api.catalog.template import Template
from api.connections.forms import fill
from api.outbound.egress import EgressGuard, EgressRefused
from api.secret import Secret
from tests.catalog.test_connectors import CATALOG, FRAGMENTS, HOSTILE, OFFERED, samples, urls
from tests.fuzzing.drawing import drawn
from tests.fuzzing.scene import Run
from tests.fuzzing.tally import Tally
from tests.fuzzing.texts import shaken

# Drawing one that fits costs a thousand times as much as spoiling one.
_FITTING_SHARE = 20
_PART = 500


@dataclass(frozen=True)
class _Place:
    """One field of one option, and the URLs that it goes into."""

    connector: Connector
    option: Option
    field: Field
    urls: tuple[Template, ...]


def _places() -> list[_Place]:
    return [
        _Place(connector, option, field, into)
        for connector in CATALOG.all
        for option in connector.options
        for field in connector.fields_for(option)
        if (into := tuple(url for url in urls(connector, option) if field.name in url.names))
    ]


async def try_sites(run: Run, count: int) -> Tally:
    """So many values for every field of every connector that goes into a URL."""
    tally, chance = Tally("site values"), random.Random(run.seed)
    for place in _places():

        async def attempt(value: str, place: _Place = place) -> None:
            tally.count(_led(place, value))

        values = [*_fitting(place.field, count // _FITTING_SHARE, run.seed), *(_spoiled(place.field, chance) for _ in range(count))][:count]
        for start in range(0, len(values), _PART):
            await run.watch.trials(tally, values[start : start + _PART], attempt)
    return tally


def _fitting(field: Field, count: int, seed: int) -> Sequence[str]:
    if field.options is not None or field.pattern is None:
        return list(field.options or ())[:count]
    return _matching(field.pattern, count, seed)


@cache
def _matching(pattern: str, count: int, seed: int) -> Sequence[str]:
    return drawn(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True), count, seed)


def _spoiled(field: Field, chance: random.Random) -> str:
    value = chance.choice(samples(field))
    for _ in range(chance.randint(1, 3)):
        match chance.randrange(5):
            case 0:
                value = shaken(value, chance)
            case 1:
                value += chance.choice(FRAGMENTS)
            case 2:
                value = chance.choice(FRAGMENTS) + value
            case 3:
                here = chance.randrange(len(value) + 1)
                value = value[:here] + chance.choice(FRAGMENTS) + value[here:]
            case 4:
                value = chance.choice([value.upper(), value * 30, value + "." + value, chance.choice(HOSTILE), value + "-x", "x" + value])
    return value


def _led(place: _Place, value: str) -> str:
    """Where the value leads. Raises AssertionError where that is elsewhere."""
    taken = _taken(place, value)
    if not taken:
        return "refused"
    for url in place.urls:
        rendered = url.render(dict.fromkeys(url.names, "sample") | _others(place, url) | {place.field.name: value})
        parts = urlsplit(rendered)
        assert _is_own_host(place.connector, url, parts.hostname or ""), f"it leads to another host: {place.connector.key} {url.text}"
        assert "@" not in parts.netloc and parts.fragment == "", f"it has more than a host: {place.connector.key} {url.text}"
        assert _is_reached_as_read(rendered, parts.hostname or ""), (
            f"the host that is called is another than the one that was checked: {place.connector.key} {url.text}"
        )
    return "taken"


def _taken(place: _Place, value: str) -> bool:
    if not place.field.asked:
        return place.field.problem(value) is None
    _, mistakes = fill([place.field], {place.field.name: Secret(value)})
    return not mistakes and value != ""


def _others(place: _Place, url: Template) -> dict[str, str]:
    fields = place.connector.fields_for(place.option)
    return {field.name: samples(field)[0] for field in fields if field.name in url.names} | dict(place.connector.constants)


def _is_own_host(connector: Connector, url: Template, host: str) -> bool:
    """Written down apart from the files; where a field names the whole server, it is whatever it says."""
    if url.text.startswith("{") or re.match(r"https://\{\w+\}([/:]|$)", url.text):
        return re.fullmatch(r"[a-z0-9.-]+", host, re.ASCII) is not None
    return f".{host}".endswith(tuple(OFFERED[connector.key]["hosts"]))


def _is_reached_as_read(rendered: str, host: str) -> bool:
    try:
        return EgressGuard().check(rendered).host == host
    except EgressRefused:
        return True
