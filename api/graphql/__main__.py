"""Print the schema that is served."""

from api.graphql.schema import schema

print(schema.as_str())  # noqa: T201
