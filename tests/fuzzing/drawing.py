"""What hypothesis draws, as a list: the same for the same seed."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Drawn = TypeVar("Drawn")


def drawn(strategy: st.SearchStrategy[Drawn], count: int, number: int) -> list[Drawn]:
    """At most so many values."""
    found: list[Drawn] = []
    if count < 1:
        return found

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Drawn) -> None:
        found.append(value)

    run: Callable[[], None] = draw
    run()
    return found[:count]
