"""Keys that are made once and must outlive restarts: made at first use, the same for every process after."""

import secrets

from sqlalchemy import select

from bot.store.database import Database
from bot.store.dialect import insert
from bot.store.tables import keys

LINKS = "links"
END_USERS = "end-users"


async def get_key(database: Database, name: str) -> bytes:
    """The 32 random bytes kept under `name`."""
    async with database.write() as connection:
        row = insert(connection, keys).values(name=name, value=secrets.token_hex(32))
        await connection.execute(row.on_conflict_do_nothing(index_elements=["name"]))
        found = await connection.execute(select(keys.c.value).where(keys.c.name == name))
        return bytes.fromhex(found.scalar_one())
