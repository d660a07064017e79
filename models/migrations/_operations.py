"""Operations that migrations need beside Tortoise's own. Released migrations rely on them as they are."""

from collections.abc import Mapping
from typing import Any

from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class CreateCheckedModel(ops.CreateModel):
    """A table, and by name what each of its rows must satisfy: on SQLite that can be said only while the table is made."""

    def __init__(self, name: str, fields: list[tuple[str, Any]], options: dict[str, Any], checks: Mapping[str, str]) -> None:
        super().__init__(name, fields, options)
        self.checks = checks

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        if state_editor is None:
            return
        model = new_state.apps.get_model(f"{app_label}.{self.name}")
        columns, end, after = state_editor._get_model_sql_data(model).table_sql.partition("\n);")
        checks = "".join(f',\n    CONSTRAINT "{name}" CHECK ({check})' for name, check in self.checks.items())
        await state_editor._run_sql(columns + checks + end + after)


class OnPostgresql(ops.RunSQL):
    """SQL for PostgreSQL alone, about something that goes when its table goes."""

    def __init__(self, sql: str) -> None:
        super().__init__(sql, ops.RunSQL.noop)

    async def _run_sql(self, state_editor: BaseSchemaEditor, sqls: Any) -> None:
        if state_editor.client.capabilities.dialect == "postgres":
            await super()._run_sql(state_editor, sqls)


class OnSqlite(ops.RunSQL):
    """SQL for SQLite alone, about something that goes when its table goes. It may be a trigger, in which statements end."""

    def __init__(self, sql: str) -> None:
        super().__init__(sql, ops.RunSQL.noop)

    async def _run_sql(self, state_editor: BaseSchemaEditor, sqls: Any) -> None:
        if state_editor.client.capabilities.dialect == "sqlite":
            # Not by the editor, which ends a statement at each semicolon.
            await state_editor.client.execute_script(sqls)


class ReplaceCheck(ops.RunSQL):
    """Another condition for the rows of a table, in the place of one that has this name.

    SQLite cannot alter a constraint. What is kept there is the text of the table, and a condition that no row breaks may be changed in
    it: https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
    """

    def __init__(self, table: str, name: str, check: str, former: str) -> None:
        super().__init__("", "")
        self.table, self.name, self.check, self.former = table, name, check, former

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        await self._replace(self.former, self.check, state_editor)

    async def database_backward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        await self._replace(self.check, self.former, state_editor)

    async def _replace(self, former: str, check: str, state_editor: BaseSchemaEditor | None) -> None:
        if state_editor is None:
            return
        client = state_editor.client
        if client.capabilities.dialect == "postgres":
            # allowed: made-statement: a migration wrote the names and the condition
            await state_editor._run_sql(f'ALTER TABLE "{self.table}" DROP CONSTRAINT "{self.name}"')
            # allowed: made-statement: a migration wrote the names and the condition
            await state_editor._run_sql(f'ALTER TABLE "{self.table}" ADD CONSTRAINT "{self.name}" CHECK ({check})')
            return
        version = (await client.execute_query_dict("PRAGMA schema_version"))[0]["schema_version"]
        await client.execute_query("PRAGMA writable_schema = ON")
        changed, _ = await client.execute_query(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?)",
            [f"CHECK ({former})", f"CHECK ({check})", self.table, f'CONSTRAINT "{self.name}" CHECK ({former})'],
        )
        # Every connection reads the table's text again when it sees another version; this one does at RESET.
        await client.execute_query(f"PRAGMA schema_version = {version + 1}")
        await client.execute_query("PRAGMA writable_schema = RESET")
        if changed != 1:
            raise LookupError(f"{self.table} has no condition {self.name} of that text")
