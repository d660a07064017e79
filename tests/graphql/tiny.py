"""A schema whose resolvers misbehave on demand."""

import asyncio
from collections.abc import AsyncIterator

import strawberry

from api.errors import Conflict, InvalidInput, NotFound, StreamLagged
from api.graphql.context import Info
from api.graphql.execution import Checking, Parsing, PatchbaySchema, TimeLimit

CANARY = "sk_live_canary_5310"

ran: list[str] = []


class Endless:
    """When the endless stream was ended."""

    ended = asyncio.Event()


def begin() -> None:
    """Forget what ran before."""
    ran.clear()
    Endless.ended = asyncio.Event()


@strawberry.input
class ThingInput:
    name: str
    size: int = 1
    secret: str | None = None


@strawberry.type
class Thing:
    name: str

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError(f"password={CANARY}") from ValueError(CANARY)


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, info: Info, name: str = "world", size: int = 0) -> str:
        ran.append("hello")
        return f"hello {info.context.actor.name}"

    @strawberry.field
    def thing(self, input: ThingInput) -> Thing:
        return Thing(name="thing")

    @strawberry.field
    def things(self) -> list[Thing | None]:
        return [Thing(name="thing") for _ in range(10)]

    @strawberry.field
    def nothing(self) -> str:
        return None  # type: ignore[return-value]

    @strawberry.field
    def huge(self) -> int:
        return 10**20

    @strawberry.field
    def wrong(self) -> str | None:
        raise InvalidInput({"first": "must be between 1 and 100"})

    @strawberry.field
    def missing(self) -> str | None:
        raise NotFound("folder")

    @strawberry.field
    def conflicting(self) -> str | None:
        raise Conflict(CANARY)

    @strawberry.field
    async def slow(self) -> str:
        await asyncio.Event().wait()
        return "never"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def act(self) -> str:
        ran.append("act")
        return "done"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def endless(self) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            Endless.ended.set()

    @strawberry.subscription
    async def lagging(self) -> AsyncIterator[int]:
        yield 1
        raise StreamLagged()

    @strawberry.subscription
    async def gone(self) -> AsyncIterator[int]:
        raise NotFound("consent")
        yield 1

    @strawberry.subscription
    async def failing(self) -> AsyncIterator[int]:
        yield 1
        raise RuntimeError(CANARY)


tiny = PatchbaySchema(query=Query, mutation=Mutation, subscription=Subscription, extensions=[Parsing, Checking, lambda: TimeLimit(0.2)])
