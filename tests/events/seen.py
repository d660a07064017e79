"""Who may be told what of an event: the promises of subscriptions in plain Python, with which the real ones are compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api.access import Actor, Limits
from models import Permission

NOTHING = Permission(0)
EVERYTHING = Permission.every()
_IN_A_WORKSPACE = EVERYTHING & ~Permission.MANAGE


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches, and until when what they showed is good."""

    actor: Actor
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that decides who sees what, at one moment."""

    now: datetime
    # Of shared folders.
    parents: Mapping[UUID, UUID | None]
    # Whose workspaces these are.
    owners: Mapping[UUID, UUID]
    # To a user or to the group, in a folder.
    grants: Mapping[tuple[UUID, UUID], Permission]
    group_id: UUID
    members: frozenset[UUID]
    administrators: frozenset[UUID]
    active: frozenset[UUID]
    revoked: frozenset[UUID] = frozenset()

    def knows(self, viewer: Viewer) -> bool:
        """Whether they may still ask."""
        actor = viewer.actor
        return (
            actor.user_id in self.active
            and actor.token_id not in self.revoked
            and (viewer.expires_at is None or viewer.expires_at > self.now)
        )

    def administers(self, viewer: Viewer) -> bool:
        """Who was made an administrator after they came is none until they come again."""
        return viewer.actor.administrator and viewer.actor.user_id in self.administrators

    def line(self, folder_id: UUID) -> Iterator[UUID]:
        """A folder and those above it."""
        here: UUID | None = folder_id
        while here is not None:
            yield here
            here = self.parents.get(here)

    def permissions(self, viewer: Viewer, folder_id: UUID) -> Permission:
        """What they may do there; nothing where they do not see it."""
        limits = viewer.actor.limits or Limits()
        if limits.folder_ids is not None and not limits.folder_ids & set(self.line(folder_id)):
            return NOTHING
        left = self._owned(viewer, folder_id, limits) & limits.permissions
        return left if Permission.VIEW in left else NOTHING

    def _owned(self, viewer: Viewer, folder_id: UUID, limits: Limits) -> Permission:
        user_id = viewer.actor.user_id
        if folder_id in self.owners:
            return _IN_A_WORKSPACE if self.owners[folder_id] == user_id and not limits.without_workspace else NOTHING
        if self.administers(viewer):
            return EVERYTHING
        given = NOTHING
        for place in self.line(folder_id):
            given |= self.grants.get((user_id, place), NOTHING)
            if user_id in self.members:
                given |= self.grants.get((self.group_id, place), NOTHING)
        return given

    def shows(self, viewer: Viewer, happened: "Happened") -> bool:
        return self.knows(viewer) and any(self.permissions(viewer, folder_id) for folder_id in happened.places)


@dataclass(frozen=True, slots=True)
class Mention:
    user_id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class Happened:
    """An event. `number`: its place in the order of commits."""

    number: int
    folder_id: UUID
    previous_folder_id: UUID | None
    actor: Mention
    # Which state of things there was when it was committed.
    state: int

    @property
    def name(self) -> str:
        return f"Event {self.number}"

    @property
    def places(self) -> list[UUID]:
        return [place for place in (self.folder_id, self.previous_folder_id) if place is not None]


def untrue(answer: Mapping[str, Any], happened: Happened, viewer: Viewer, states: Sequence[State]) -> str | None:
    """What of an answer the viewer could not be told in any of these states."""
    if not any(state.shows(viewer, happened) for state in states):
        return "told of an event that they do not see"
    for name, folder_id in (("folder", happened.folder_id), ("previousFolder", happened.previous_folder_id)):
        if name in answer and not _is_told(answer[name], [_allowed(viewer, folder_id, state) for state in states], folder_id):
            return f"{name} is {answer[name]}"
    if "actor" in answer and answer["actor"]["email"] not in [_email(viewer, happened.actor, state) for state in states]:
        return f"the email is {answer['actor']['email']}"
    return None


def _allowed(viewer: Viewer, folder_id: UUID | None, state: State) -> Permission:
    return NOTHING if folder_id is None else state.permissions(viewer, folder_id)


def _is_told(folder: Mapping[str, Any] | None, allowed: Sequence[Permission], folder_id: UUID | None) -> bool:
    """Whether this may be said of a folder, each part as of one of these moments."""
    if folder is None:
        return NOTHING in allowed
    words = [[each.name for each in permissions] for permissions in allowed]
    return any(allowed) and folder.get("id", str(folder_id)) == str(folder_id) and folder.get("permissions", words[0]) in words


def _email(viewer: Viewer, user: Mention, state: State) -> str | None:
    administers = state.administers(viewer) and viewer.actor.limits is None
    return user.email if administers or viewer.actor.user_id == user.user_id else None
