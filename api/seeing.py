"""What an actor can see, as the part of a statement that begins it: what is read and what may be seen are then of one moment."""

from dataclasses import dataclass

from api.access import GRANTED, Actor
from models import Permission

_DOWNWARD = """
WITH RECURSIVE {granted}, reach(id, permissions) AS (
  SELECT folder_id, permissions FROM granted
  UNION ALL
  SELECT below.id, reach.permissions FROM folder AS below JOIN reach ON below.parent_id = reach.id
), seen(id) AS (
  SELECT id FROM reach WHERE permissions & {view} <> 0
  UNION
  SELECT id FROM folder WHERE owner_id = $1 AND kind = 'PERSONAL'
)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A statement begins with `beginning`, where `seen(id)` are folders, and $1 is the actor.

    An administrator sees most of what there is: then there is no `seen`, and of the table `folder` that is seen which is `seen_folder`.
    """

    beginning: str
    seen_folder: str | None = None


# allowed: made-statement: of constants
_BY_GRANTS = Seen(_DOWNWARD.format(granted=GRANTED.strip(), view=Permission.VIEW.value))
_MOST = Seen("", "(folder.kind = 'SHARED' OR folder.owner_id = $1)")


def seen_by(actor: Actor) -> Seen | None:
    """What is seen by who is not limited by a token; None for who is."""
    if actor.limits is not None:
        return None
    return _MOST if actor.administrator else _BY_GRANTS
