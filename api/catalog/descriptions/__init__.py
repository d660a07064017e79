"""Descriptions of APIs that others wrote, read into drafts of connectors: OpenAPI 3, Swagger 2.0, and Postman collections.

A description is a text from anywhere, so nothing of it is believed: it is bounded in length, depth and number before anything is looked
for in it, what it refers to outside of itself is never fetched, and the words that are taken from it are cut and cleaned. Nothing here
asks the network or the clock.

`reading` takes a text to a `Description`, what the document says whatever its format; `drafting` takes that to a `Draft`.
"""
