"""Connections by the million: copies of one, written by one statement, spread over folders and statuses as an installation has them."""

import sqlite3
from contextlib import closing

import asyncpg

from models.database import DatabaseUrl

# What differs from copy to copy, for both databases; `n` is the number of the copy. Each hundredth has a trouble.
_DIFFERS = {
    "name": "'Connection ' || n",
    "name_key": "'connection ' || n",
    "is_default": "false",
    "status": "CASE n % 100 WHEN 7 THEN 'ACTION_REQUIRED' WHEN 8 THEN 'DEGRADED' ELSE 'CONNECTED' END",
    "priority": "n % 3",
    "folder_id": "(SELECT id FROM spread WHERE place = n % (SELECT count(*) FROM spread))",
}
_ON_POSTGRESQL = {
    "id": "gen_random_uuid()",
    "created_at": "created_at + n * interval '1 second'",
    "due_at": "created_at + (n * 611953 % 1000003) * interval '1 second'",
    "updated_at": "created_at + (n * 7919 % 1000003) * interval '1 second'",
    "status_changed_at": "created_at + (n * 104729 % 1000003) * interval '1 second'",
}
_ON_SQLITE = {
    "id": "substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21)",
    "created_at": "strftime('%Y-%m-%d %H:%M:%S+00:00', created_at, '+' || n || ' seconds')",
    "due_at": "strftime('%Y-%m-%d %H:%M:%S+00:00', created_at, '+' || (n * 611953 % 1000003) || ' seconds')",
    "updated_at": "strftime('%Y-%m-%d %H:%M:%S+00:00', created_at, '+' || (n * 7919 % 1000003) || ' seconds')",
    "status_changed_at": "strftime('%Y-%m-%d %H:%M:%S+00:00', created_at, '+' || (n * 104729 % 1000003) || ' seconds')",
}
_SPREAD = "spread AS MATERIALIZED (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM folder)"
_COPY_ON_POSTGRESQL = """
INSERT INTO connection ({columns})
WITH {spread}, one AS (SELECT * FROM connection ORDER BY created_at, id LIMIT 1)
SELECT {values} FROM one, generate_series($1::bigint, $2::bigint) AS n
"""
_COPY_ON_SQLITE = """
INSERT INTO connection ({columns})
WITH RECURSIVE {spread}, one AS (SELECT * FROM connection ORDER BY created_at, id LIMIT 1),
numbers(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2),
drawn AS MATERIALIZED (SELECT n, lower(hex(randomblob(16))) AS h FROM numbers)
SELECT {values} FROM drawn, one
"""


async def grow(url: str, *, to: int) -> None:
    """Copy the first connection until there are so many, over all folders, and have the database look at what it has now."""
    where = DatabaseUrl.parse(url)
    if where.dialect == "sqlite":
        _grow_on_sqlite(where, to)
    else:
        await _grow_on_postgresql(where, to)


async def _grow_on_postgresql(where: DatabaseUrl, to: int) -> None:
    session = await asyncpg.connect(**where.credentials)
    try:
        there = await session.fetchval("SELECT count(*) FROM connection")
        names = [row["column_name"] for row in await session.fetch(_COLUMNS_ON_POSTGRESQL)]
        if there < to:
            # Without a trigger for each row; what those would have done is done at once.
            await session.execute("SET synchronous_commit = off; SET work_mem = '64MB'; SET session_replication_role = replica")
            await session.execute(_statement(_COPY_ON_POSTGRESQL, names, _DIFFERS | _ON_POSTGRESQL), there + 1, to)
            await session.execute(
                "INSERT INTO connection_queue SELECT priority, due_at, id FROM connection WHERE due_at IS NOT NULL ON CONFLICT DO NOTHING"
            )
        await session.execute("VACUUM ANALYZE")
    finally:
        await session.close()


_COLUMNS_ON_POSTGRESQL = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = 'connection' AND is_generated = 'NEVER'
"""


def _grow_on_sqlite(where: DatabaseUrl, to: int) -> None:
    with closing(sqlite3.connect(where.file)) as database:
        there = database.execute("SELECT count(*) FROM connection").fetchone()[0]
        # Columns that are made from others are not among these.
        names = [row[1] for row in database.execute("PRAGMA table_info(connection)")]
        if there < to:
            database.execute("PRAGMA cache_size = -200000")
            database.execute(_statement(_COPY_ON_SQLITE, names, _DIFFERS | _ON_SQLITE), (there + 1, to))
            database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _statement(form: str, names: list[str], differs: dict[str, str]) -> str:
    values = ", ".join(differs.get(name, f'one."{name}"') for name in names)
    return form.format(columns=", ".join(f'"{name}"' for name in names), values=values, spread=_SPREAD)
