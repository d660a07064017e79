"""What an actor can see, as the part of a statement that begins it: what is read and what may be seen are then of one moment."""

from api.access import GRANTED, Actor
from models import Permission

_FROM_GRANTS = """
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


# allowed: made-statement: of constants
_BY_GRANTS = _FROM_GRANTS.format(granted=GRANTED.strip(), view=Permission.VIEW.value)
_OF_ADMINISTRATOR = """
WITH seen(id) AS (SELECT id FROM folder WHERE kind = 'SHARED' OR (owner_id = $1 AND kind = 'PERSONAL'))
"""

# Of `folder`, in a statement that begins so. Whose own workspace it is sees it, and no grants need be looked at.
IS_SEEN = "(folder.owner_id = $1 AND folder.kind = 'PERSONAL' OR folder.id IN (SELECT seen.id FROM seen))"


def seen_by(actor: Actor) -> str | None:
    """How a statement begins in which `seen(id)` are the folders that the actor sees, and $1 is the actor; None for one with limits."""
    if actor.limits is not None:
        return None
    return _OF_ADMINISTRATOR if actor.administrator else _BY_GRANTS
