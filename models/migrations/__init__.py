"""The steps that bring a database to the newest schema.

A migration that was released never changes, so it imports nothing that may: plain fields, and the operations beside it. On SQLite
only what adds is safe: CreateModel, AddField that may be null or has a `db_default`, AddIndex, RunSQL. Everything else rebuilds the
table, and loses what SQL has put on it.
"""
