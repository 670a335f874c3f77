"""One database: its connections, its transactions, and its errors mapped once.

A transaction is an ordinary function over an SQLAlchemy connection. It runs whole on the thread of an aiosqlite
connection: one hop there and back, where SQLAlchemy's own asyncio layer hops four times for each statement, which cost
the bot most of its processor time (docs/decisions/0005). No other work is on those threads, so the event loop never
waits for the disk, and two transactions cannot mix.

SQLite runs in WAL mode with synchronous=FULL: what a commit confirmed is there after a power cut.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiosqlite
from sqlalchemy import Connection, create_engine, event, exc
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import StaticPool

from bot.errors import CinecordError

T = TypeVar("T")
Work = Callable[[Connection], T]

PRAGMAS = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": "5000", "foreign_keys": "ON"}


class StoreError(CinecordError):
    """The database did not do what was asked; nothing of the transaction was kept."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The bot cannot reach its records right now, so nothing was accepted and nothing was charged. "
            "Try again in a minute.",
            cause=cause,
        )


class Database:
    """The database at `url` (an SQLAlchemy URL, `sqlite+aiosqlite:///path`), whose folder is made.

    Raises StoreError where it cannot be.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._make_folder()
        # SQLite has one writer, and in WAL mode readers do not wait for it.
        self._writer = _Thread(self.url, begin="BEGIN IMMEDIATE")
        self._reader = _Thread(self.url, begin="BEGIN")

    def _make_folder(self) -> None:
        if self.url.database:
            folder = Path(self.url.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"database.url: the folder {folder} cannot be made: {error.strerror}") from error

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a write transaction: committed when it returns, rolled back when it raises.

        Transactions run in the order in which they were asked for. One whose caller is cancelled runs all the same.

        Raises:
            StoreError: the database failed; nothing of the transaction was kept.
        """
        return await self._writer.run(work)

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which sees one consistent state and holds up no writer.

        Raises:
            StoreError: the database failed.
        """
        return await self._reader.run(work)

    async def close(self) -> None:
        """Finish what was asked for, and close the connections."""
        await self._writer.close()
        await self._reader.close()


class _Thread:
    """One SQLite connection, and the thread that is the only one to use it."""

    def __init__(self, url: URL, *, begin: str) -> None:
        self._arguments, self._options = pysqlite.dialect().create_connect_args(url)
        self._begin = begin
        self._opening = asyncio.Lock()
        self._thread: aiosqlite.Connection | None = None
        self._connection: Connection | None = None

    async def run(self, work: Work[T]) -> T:
        try:
            thread = self._thread or await self._open()
            return await _on(thread, lambda: self._transact(work))
        except (exc.OperationalError, sqlite3.OperationalError) as error:
            await self.close()  # the next transaction opens the file anew: it may have come back
            raise StoreError(f"database: {error}") from error
        except (exc.SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(f"database: {error}") from error

    def _transact(self, work: Work[T]) -> T:
        if self._connection is None:
            raise exc.OperationalError("BEGIN", None, sqlite3.OperationalError("the connection was closed"))
        with self._connection.begin():
            return work(self._connection)

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._thread is None:
                # isolation_level None: the driver must not open transactions by itself.
                thread = await aiosqlite.connect(*self._arguments, **self._options, isolation_level=None)
                try:
                    self._connection = await _on(thread, lambda: self._prepared(thread))
                except BaseException:
                    await thread.close()
                    raise
                self._thread = thread
            return self._thread

    def _prepared(self, thread: aiosqlite.Connection) -> Connection:
        raw = thread._conn  # pyright: ignore[reportPrivateUsage]
        for name, value in PRAGMAS.items():
            raw.execute(f"PRAGMA {name}={value}").close()
        # No parameters in errors: prompts are among them, and errors go to the log.
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, hide_parameters=True)
        event.listen(engine, "begin", self._begin_transaction)
        return engine.connect()

    def _begin_transaction(self, connection: Connection) -> None:
        connection.exec_driver_sql(self._begin)

    async def close(self) -> None:
        async with self._opening:
            thread, self._thread = self._thread, None
            connection, self._connection = self._connection, None
            if thread is not None:
                with contextlib.suppress(sqlite3.Error, exc.SQLAlchemyError):
                    if connection is not None:
                        await _on(thread, connection.close)
                    await thread.close()


async def _on(thread: aiosqlite.Connection, work: Callable[[], T]) -> T:
    # aiosqlite's public methods are one hop a statement; this one, which they all use, takes any function.
    return await thread._execute(work)  # pyright: ignore
