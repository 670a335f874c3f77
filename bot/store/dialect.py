"""The one place where SQLite and PostgreSQL are told apart: an INSERT that knows ON CONFLICT."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite

MAKERS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT with `on_conflict_do_update` and `on_conflict_do_nothing`, which both databases spell alike."""
    return MAKERS[connection.dialect.name](table)


class Upsert:
    """INSERT … ON CONFLICT (key) DO UPDATE, built once for each dialect: building costs more than running."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        key: Sequence[str],
        change: Mapping[str, ColumnElement[Any]],
        where: ColumnElement[bool] | None = None,
    ) -> None:
        values: dict[str, Any] = {name: bindparam(name) for name in columns}
        self._statements = {
            name: make(table).values(**values).on_conflict_do_update(index_elements=list(key), set_=change, where=where)
            for name, make in MAKERS.items()
        }

    def run(self, connection: Connection, given: Mapping[str, Any]) -> bool:
        """Whether a row was inserted or changed: False where `where` did not hold."""
        return connection.execute(self._statements[connection.dialect.name], given).rowcount > 0
