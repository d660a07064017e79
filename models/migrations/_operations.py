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
