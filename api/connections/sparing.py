"""How often one person may have others asked, or much read, for a connector that is not there yet."""

from math import ceil

from api.access import Actor
from api.clock import Steady
from api.errors import Conflict
from api.throttling import Buckets, Rate

# Nobody defines connectors faster than this, and whoever tries out secrets at a provider does.
_RATE = Rate(1 / 6, in_one_go=10)


class Sparing:
    def __init__(self, steady: Steady) -> None:
        self._buckets = Buckets(_RATE, steady)

    def require(self, actor: Actor) -> None:
        """Raises Conflict where it is too soon for the next time."""
        seconds = ceil(self._buckets.take(actor.user_id))
        if seconds:
            raise Conflict("You try out connectors more often than this server lets one person.", f"Try again in {seconds} s.")
