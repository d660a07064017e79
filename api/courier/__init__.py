"""The courier: a small process beside the server that asks providers for tokens, and has every answer on disk before it tells it.

A provider that hands out refresh tokens for one use forgets the old one while it answers with the new. If the process that waits for
that answer dies, or its database is away, the grant is lost with it. So another process waits: one that does nothing else, holds no
database, and survives a crash, a kill for memory and a deploy of the server.

    server ──carry(connection, token)──▶ courier ──▶ provider
                                           │ seal, append, fdatasync
    server ◀────────── answer ─────────────┘
    server ──settle──▶ (saved: the journal may forget)

Promised: of one token of one connection there is at most one exchange under way; whoever asks for it again, before it is settled, gets
the answer of the first; an answer that was told is on disk.
Not promised: an answer that the provider gave while server and courier died together. The database still has the intent, so it is
noticed, tried once more, and told.

`journal.py` the file, `wire.py` what is said over the socket, `process.py` the courier, `client.py` the server's side of it.
"""
