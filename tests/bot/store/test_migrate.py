"""Migrations: from nothing to the tables as the code sees them, once, all or nothing, and never backwards."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from bot.store import migrate
from bot.store.database import Database, StoreError
from bot.store.migrate import HEAD, revision, upgrade
from bot.store.tables import metadata
from tests.bot.store.queues import url_of


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
        return connection.execute(query).fetchall()


async def test_an_empty_database_becomes_what_the_tables_say(tmp_path: Path) -> None:
    database = Database(url_of(tmp_path / "new.db"))
    assert await revision(database) is None
    assert await upgrade(database) is True
    assert await revision(database) == HEAD

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    assert await database.read(differences) == []
    await database.close()


async def test_the_migrations_write_the_same_schema_as_the_tables(database: Database, tmp_path: Path) -> None:
    """Checks and partial indexes too, which Alembic's comparison does not look at."""
    other = Database(url_of(tmp_path / "direct.db"))
    await other.write(metadata.create_all)

    def details(connection: Connection) -> list[str]:
        found = connection.execute(
            text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alem%'")
        )
        return sorted(" ".join(row.sql.replace(",", " , ").split()) for row in found)

    migrated, direct = await database.read(details), await other.read(details)
    await other.close()
    assert migrated == direct


async def test_a_second_upgrade_changes_nothing(database: Database, tmp_path: Path) -> None:
    before = schema(tmp_path / "cinecord.db")
    assert await upgrade(database) is False
    assert schema(tmp_path / "cinecord.db") == before


async def test_a_database_of_a_newer_cinecord_is_refused_untouched(database: Database, tmp_path: Path) -> None:
    await database.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")).close())
    before = schema(tmp_path / "cinecord.db")
    with pytest.raises(StoreError, match=r"newer Cinecord.*9999.*update the bot"):
        await upgrade(database)
    assert schema(tmp_path / "cinecord.db") == before
    assert await revision(database) == "9999"


async def test_an_upgrade_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE videos (mine TEXT)")
    before = schema(path)
    database = Database(url_of(path))
    with pytest.raises(StoreError, match="already exists"):
        await upgrade(database)
    assert schema(path) == before
    await database.close()


async def test_the_downgrade_takes_everything_away_again(database: Database, tmp_path: Path) -> None:
    def down(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    await database.write(down)
    assert schema(tmp_path / "cinecord.db") == [
        ("table", "alembic_version", "alembic_version"),
    ]
    assert await upgrade(database) is True


def test_the_head_in_the_code_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
