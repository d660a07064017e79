"""The answers that a courier keeps until they are settled, found by what was exchanged."""

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from uuid import UUID

from api.courier.wire import Kept, Order

Key = tuple[UUID, str]


@dataclass(slots=True)
class Shelf:
    """`owner` is whatever tells one server from another; None: of one that is gone."""

    _by_key: defaultdict[Key, list[Kept]] = field(default_factory=lambda: defaultdict(list))
    _by_sequence: dict[int, tuple[Kept, object | None]] = field(default_factory=dict)

    def put(self, kept: Kept, owner: object | None) -> None:
        self._by_key[kept.errand.key].append(kept)
        self._by_sequence[kept.sequence] = kept, owner

    def find(self, order: Order) -> Kept | None:
        """The first answer for what is ordered that its server has not heard yet."""
        return next((kept for kept in self._by_key.get(order.errand.key, ()) if kept.sequence > order.after), None)

    def take_off(self, sequence: int) -> bool:
        found = self._by_sequence.pop(sequence, None)
        if found is None:
            return False
        kept, _ = found
        others = [each for each in self._by_key.pop(kept.errand.key) if each is not kept]
        if others:
            self._by_key[kept.errand.key] = others
        return True

    def not_of(self, others: AbstractSet[object]) -> Iterator[Kept]:
        """What belongs to none of these owners, the oldest first."""
        return (kept for kept, owner in self._by_sequence.values() if owner not in others)

    def __len__(self) -> int:
        return len(self._by_sequence)
