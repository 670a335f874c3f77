"""One database, reached through SQLAlchemy: connections, transactions, and its errors mapped once.

SQLite runs in WAL mode with synchronous=FULL: what a commit confirmed is there after a power cut. A write transaction
starts with BEGIN IMMEDIATE, so two of them never deadlock, and each has a connection of its own: two coroutines'
transactions cannot mix.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from bot.errors import CinecordError

READ_ONLY = "cinecord_read_only"


class StoreError(CinecordError):
    """The database did not do what was asked; nothing of the transaction was kept."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The bot cannot reach its records right now, so nothing was accepted and nothing was charged. "
            "Try again in a minute.",
            cause=cause,
        )


class Database:
    """Connections to the database at `url` (an SQLAlchemy URL, `sqlite+aiosqlite:///path`), whose folder is made.

    Raises StoreError where it cannot be.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._make_folder()
        # No parameters in errors: prompts are among them, and errors go to the log.
        self.engine: AsyncEngine = create_async_engine(
            self.url, poolclass=AsyncAdaptedQueuePool, pool_size=4, max_overflow=0, hide_parameters=True
        )
        # SQLite has one writer. Waiting here, in order, is fair and does not spin as its busy handler does.
        self._writer = asyncio.Lock()
        event.listen(self.engine.sync_engine, "connect", _prepare)
        event.listen(self.engine.sync_engine, "begin", _begin)

    def _make_folder(self) -> None:
        if self.url.database and self.url.database != ":memory:":
            folder = Path(self.url.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"database.url: the folder {folder} cannot be made: {error.strerror}") from error

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises:
            StoreError: the database failed; nothing of the block was kept.
        """
        async with self._writer:
            try:
                async with self.engine.begin() as connection:
                    yield connection
            except exc.SQLAlchemyError as error:
                raise StoreError(f"database: {error}") from error

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection that sees one consistent state and holds up no writer.

        Raises:
            StoreError: the database failed.
        """
        try:
            async with self.engine.connect() as connection:
                yield await connection.execution_options(**{READ_ONLY: True})
        except exc.SQLAlchemyError as error:
            raise StoreError(f"database: {error}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _prepare(connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself: `_begin` says which kind each one is.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
