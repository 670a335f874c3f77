"""Bringing the database to the newest revision, at start-up and by `cinecord migrate`."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from bot.store.database import Database, StoreError

HEAD = "0001"
_SCRIPTS = Path(__file__).with_name("migrations")


async def revision(database: Database) -> str | None:
    """The database's revision; None for an empty database."""
    return await database.read(_revision)


async def upgrade(database: Database) -> bool:
    """Run what migrations are missing, in one transaction. Returns whether there were any.

    Raises:
        StoreError: the database failed, or a newer Cinecord has written to it.
    """
    found = await revision(database)
    if found == HEAD:
        return False
    check_known(found)
    await database.write(_upgrade)
    return True


def check_known(found: str | None) -> None:
    """Raises StoreError for a revision that a newer Cinecord has made."""
    if found is not None and found > HEAD:
        raise StoreError(
            f"the database is of a newer Cinecord (revision {found}; this one knows {HEAD}): update the bot"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    # Imported here: it costs a third of a second and 20 MB, and most starts have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
