"""What every resolver is given."""

from dataclasses import dataclass, field

import strawberry

from api.access import Actor
from api.graphql.loaders import Loaders
from api.patchbay import Patchbay


@dataclass(slots=True)
class Context:
    patchbay: Patchbay
    actor: Actor
    loaders: Loaders = field(init=False)
    # Whether what is asked is a query whose plan came to nothing.
    plan_given_up: bool = False

    def __post_init__(self) -> None:
        self.loaders = Loaders(self.patchbay, self.actor)


Info = strawberry.Info[Context, None]
