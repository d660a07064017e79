"""Operations as plans: a document that is asked again and again is worked out once, and then only run.

graphql-core walks the document for every object of an answer: fifty connections with fifteen fields are a thousand walks. A plan knows
beforehand which attribute or resolver each field is, and how its values are written. It goes through an answer level by level instead of
object by object: it reads one field of all objects, then the next one, and what is asked for each of many is asked for all at once.

- `collecting`: which fields a selection means for one type of object (GraphQL specification, section 6.3.2)
- `given`: variables and arguments
- `reading`: the values of one field for many objects
- `records`: objects that are rows of a statement and are never made, and which columns are asked of them
- `keyed`: fields that are answered from columns, or found by a key once for all that have it
- `writing`: the values of a type as what is answered
- `straight`: objects put together of their fields, as code that is made once
- `plan`: a query as a plan, and its run
- `alone`: the field of an operation that has only one
- `mutating`: a mutation as a plan
- `telling`: a subscription as a plan, for each of its events
- `extension`: what puts plans into the place of the execution

A plan does what graphql-core does for a query in which nothing goes wrong. Everything else is graphql-core's: a document with anything that
is not planned has no plan (`Unplannable`), and a run in which anything goes wrong is given up (`Unplanned`, or whatever was raised) and
executed by graphql-core from the beginning. A query changes nothing, so that it may be begun twice. The resolver of a mutation is called
once, whatever comes of it: where the plan cannot write that, graphql-core is handed it and writes it.
"""
