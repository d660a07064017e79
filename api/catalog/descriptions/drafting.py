"""From what a description says to a draft: what a definition can say of it, and everything that somebody must look at."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from api.catalog.defining import define
from api.catalog.definition import ConnectorDefinition, OAuth2Definition, VerifyDefinition
from api.catalog.descriptions.addresses import Base, Fields, base_of
from api.catalog.descriptions.description import Description, Discovered, Draft, Finding, FindingKind, Hints, Undecided
from api.catalog.descriptions.document import line
from api.catalog.descriptions.offers import Offers, offers_of
from api.catalog.descriptions.proofs import Choice, choose
from api.errors import InvalidInput
from api.outbound.egress import EgressGuard

_MOST_FINDINGS = 200
_SAYS_NOTHING = re.compile(r"(?i)(rest|web|public|open|swagger|api|apis|reference|documentation|docs|v[0-9.]+|specification|spec|\s)*")
_DOCUMENTATION = re.compile(r"https://[!-~]{1,1000}", re.ASCII)


@dataclass(slots=True)
class Notes:
    """What is told beside the definition."""

    undecided: list[Undecided] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)


def draft_of(description: Description, hints: Hints, guard: EgressGuard, discovered: Mapping[str, Discovered] | None = None) -> Draft:
    """The connector that a description comes to. `discovered`: what OpenID providers say of themselves, by the URL where they do.

    A draft in which nothing is undecided has a definition without mistakes. Asks nobody: the guard looks at addresses only.
    """
    notes = Notes(found=[Finding(FindingKind.FOUND, "", f"{description.format}: {description.title or 'without a title'}")])
    notes.found += description.found
    fields = Fields()
    base = base_of(description.servers, fields, hints.url)
    offers = offers_of(description, fields, base.url or hints.url, discovered or {})
    choice = choose(description.operations, offers.schemes)
    name = _name(description, hints)
    definition = ConnectorDefinition(
        key=hints.key or _slug(name),
        name=name,
        base_url=base.url,
        vendor=description.vendor,
        documentation_url=description.documentation_url if _DOCUMENTATION.fullmatch(description.documentation_url or "") else None,
        fields=tuple(fields.made.values()),
        verify=None if choice.operation is None else VerifyDefinition(choice.operation.path, account=choice.operation.account),
        oauth2=_with_default_scopes(offers, choice),
        personal_access_token=offers.personal_access_token,
        api_key=offers.api_key,
        basic=offers.basic,
    )
    _note(notes, base, offers, choice)
    _note_the_name(notes, name)
    notes.undecided += _mistakes(definition, guard, {each.field for each in notes.undecided})
    return Draft(definition, tuple(notes.undecided), tuple(notes.found[:_MOST_FINDINGS]))


def _with_default_scopes(offers: Offers, choice: Choice) -> OAuth2Definition | None:
    oauth2 = offers.oauth2
    if oauth2 is None:
        return None
    # Without these the proof would fail.
    needed = choice.operation.scopes if choice.operation is not None else frozenset()
    return replace(oauth2, scopes=tuple(replace(scope, default=scope.default or scope.name in needed) for scope in oauth2.scopes))


def _note(notes: Notes, base: Base, offers: Offers, choice: Choice) -> None:
    notes.undecided += [*base.undecided, *offers.undecided]
    notes.found += [*base.found, *offers.found]
    if choice.operation is None:
        question = "No request in it shows that a credential works. Which GET, without parameters, needs one?"
        notes.undecided.append(Undecided("verify.path", question))
        return
    path = line(choice.operation.path, longest=300)
    notes.found.append(Finding(FindingKind.FOUND, f"paths.{path}", "The request that shows that a credential works."))
    if not choice.is_sure:
        question = "No request in it is about whoever asks, so the shortest one that needs a credential was taken. Does it need one?"
        notes.undecided.append(Undecided("verify.path", question, choice.others))


def _note_the_name(notes: Notes, name: str) -> None:
    if _SAYS_NOTHING.fullmatch(name) and name:
        notes.undecided.append(Undecided("name", "Its title could be that of any service. What is this one called?"))
    if not name:
        notes.undecided.append(Undecided("name", "It has no title. What is the service called?"))
    elif not _slug(name):
        notes.undecided.append(Undecided("key", "Its title has no letter that a key may have. What is its key?"))


def _mistakes(definition: ConnectorDefinition, guard: EgressGuard, asked: Collection[str]) -> list[Undecided]:
    """What a definition would be refused for, and nobody was asked about yet."""
    try:
        define(definition, guard)
    except InvalidInput as refused:
        # What stands below the base URL is wrong with it.
        known = {*asked, *(("verify.path",) if "baseUrl" in asked else ())}
        return [
            Undecided(field, f"As it stands it would be refused: {problem}.")
            for field, problem in refused.fields.items()
            if field not in known
        ]
    return []


def _name(description: Description, hints: Hints) -> str:
    return hints.name if hints.name is not None else description.title


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", re.sub("['’]s?\\b", "", name)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
