"""What Strawberry made a part of the schema of."""

from typing import Any

from graphql import GraphQLArgument, GraphQLField, GraphQLObjectType
from strawberry.schema.schema_converter import GraphQLCoreConverter


def described_by(thing: GraphQLArgument | GraphQLField | GraphQLObjectType) -> Any:
    """What Strawberry made this of; None where it did not."""
    return (thing.extensions or {}).get(GraphQLCoreConverter.DEFINITION_BACKREF)
