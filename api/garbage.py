"""How often a process that serves looks for garbage that only a search finds: objects that hold each other."""

import gc

# Nearly all that is made is gone with its last name. After every 700 objects, as is usual, each search walks through all that is under way.
_OBJECTS_UNTIL_SEARCH = 50_000


def search_seldom() -> None:
    """Call it once all stands that stays: that is not searched any more, and what comes is searched after many objects."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_UNTIL_SEARCH)
