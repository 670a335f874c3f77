"""Connections and transactions: what is in force, what a failed or cancelled block leaves, and how trouble is named."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from bot.store.database import PRAGMAS, Database, StoreError
from bot.store.migrate import upgrade
from bot.store.tables import keys
from tests.bot.store.queues import url_of


async def names(database: Database) -> set[str]:
    return await database.read(lambda connection: set(connection.execute(select(keys.c.name)).scalars()))


async def put(database: Database, name: str) -> None:
    row = keys.insert().values(name=name, value="x")
    await database.write(lambda connection: connection.execute(row).close())


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 5000), ("foreign_keys", 1)]
)
async def test_a_pragma_is_in_force_on_both_connections(database: Database, pragma: str, value: object) -> None:
    def ask(connection: Connection) -> object:
        return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()

    assert await database.read(ask) == value
    assert await database.write(ask) == value


async def test_a_write_locks_at_its_begin_and_a_read_does_not(database: Database, tmp_path: Path) -> None:
    def lock(_: Connection) -> None:
        with closing(sqlite3.connect(tmp_path / "cinecord.db", timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")

    await database.read(lock)
    with pytest.raises(StoreError, match="locked"):
        await database.write(lock)


async def test_a_read_sees_one_state_while_others_write(database: Database) -> None:
    await put(database, "before")
    looked, written = threading.Event(), threading.Event()

    def look_twice(connection: Connection) -> tuple[int, int]:
        first = len(connection.execute(keys.select()).all())
        looked.set()
        assert written.wait(5)
        return first, len(connection.execute(keys.select()).all())

    reading = asyncio.create_task(database.read(look_twice))
    await asyncio.to_thread(looked.wait, 5)
    await put(database, "after")
    written.set()
    assert await reading == (1, 1)
    assert await names(database) == {"before", "after"}


async def test_the_event_loop_goes_on_while_a_transaction_waits(database: Database) -> None:
    gate = threading.Event()
    waiting = asyncio.create_task(database.write(lambda _: gate.wait(5)))
    await asyncio.sleep(0.01)
    gate.set()
    assert await waiting is True


class Trouble(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("trouble", [ValueError("no"), Trouble(), asyncio.CancelledError()])
async def test_an_exception_in_the_transaction_keeps_nothing(database: Database, trouble: BaseException) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(keys.insert().values(name="half", value="x"))
        raise trouble

    with pytest.raises(type(trouble)):
        await database.write(fail)
    assert await names(database) == set()
    await put(database, "next")


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_writer_leaves_no_lock_and_no_half(database: Database, steps: int) -> None:
    """Cancelled at another point each time: opening, waiting for its turn, at work."""

    async def work() -> None:
        for number in range(3):
            await put(database, f"name-{number}")

    task = asyncio.create_task(work())
    for _ in range(steps * 3):
        await asyncio.sleep(0)
        if steps % 2:
            await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5):
        await put(database, "next")
        assert "next" in await names(database)


async def test_a_transaction_whose_caller_is_cancelled_runs_all_the_same(database: Database) -> None:
    gate = threading.Event()
    first = asyncio.create_task(database.write(lambda _: gate.wait(5)))
    second = asyncio.create_task(put(database, "kept"))
    await asyncio.sleep(0.01)
    second.cancel()
    gate.set()
    await first
    await asyncio.gather(second, return_exceptions=True)
    await put(database, "next")
    assert await names(database) == {"kept", "next"}


async def test_a_hundred_writers_wait_their_turn(database: Database) -> None:
    await asyncio.gather(*(put(database, f"name-{number}") for number in range(100)))
    assert len(await names(database)) == 100


async def test_bad_sql_is_a_store_error_with_the_members_sentence(database: Database) -> None:
    with pytest.raises(StoreError, match="no such table") as caught:
        await database.write(lambda connection: connection.execute(text("INSERT INTO elsewhere VALUES (1)")))
    assert "nothing was charged" in caught.value.sentence
    assert "table" not in caught.value.sentence
    with pytest.raises(StoreError, match="no such table"):
        await database.read(lambda connection: connection.execute(text("SELECT * FROM elsewhere")))


async def test_an_errors_text_holds_no_values(database: Database) -> None:
    bad = keys.insert().values(name="my prompt", value=None)
    with pytest.raises(StoreError) as caught:
        await database.write(lambda connection: connection.execute(bad))
    assert "NOT NULL" in caught.value.cause
    assert "my prompt" not in caught.value.cause


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "cinecord.db"
    path.write_bytes(b"this is a letter to my aunt" * 100)
    database = Database(url_of(path))
    with pytest.raises(StoreError, match="not a database"):
        await upgrade(database)
    await database.close()


async def test_a_folder_in_the_databases_place_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "cinecord.db").mkdir()
    database = Database(url_of(tmp_path / "cinecord.db"))
    with pytest.raises(StoreError, match="unable to open"):
        await upgrade(database)
    await database.close()


def test_a_file_in_the_folders_place_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreError, match="data"):
        Database(url_of(tmp_path / "data" / "cinecord.db"))


def test_the_databases_folder_is_made(tmp_path: Path) -> None:
    Database(url_of(tmp_path / "a" / "b" / "cinecord.db"))
    assert (tmp_path / "a" / "b").is_dir()


async def test_a_read_only_database_is_a_store_error_for_who_writes(database: Database, tmp_path: Path) -> None:
    await put(database, "kept")
    await database.close()
    reader = Database(f"sqlite+aiosqlite:///file:{tmp_path}/cinecord.db?mode=ro&uri=true")
    with pytest.raises(StoreError, match="readonly"):
        await put(reader, "refused")
    assert await names(reader) == {"kept"}
    await reader.close()


async def test_a_database_that_somebody_holds_is_a_store_error_and_then_works(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRAGMAS, "busy_timeout", "20")
    await database.close()
    with closing(sqlite3.connect(tmp_path / "cinecord.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await put(database, "refused")
        other.execute("ROLLBACK")
    await put(database, "taken")
    assert await names(database) == {"taken"}


async def test_what_was_committed_is_there_for_another_process(database: Database, tmp_path: Path) -> None:
    await put(database, "kept")
    with closing(sqlite3.connect(tmp_path / "cinecord.db")) as other:
        assert other.execute("SELECT name FROM keys").fetchall() == [("kept",)]
