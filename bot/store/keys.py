"""Keys that are made once and must outlive restarts: made at first use, the same for every process after."""

import secrets

from sqlalchemy import Connection, select

from bot.store.database import Database
from bot.store.dialect import insert
from bot.store.tables import keys

LINKS = "links"
END_USERS = "end-users"


async def get_key(database: Database, name: str) -> bytes:
    """The 32 random bytes kept under `name`."""

    def work(connection: Connection) -> str:
        row = insert(connection, keys).values(name=name, value=secrets.token_hex(32))
        connection.execute(row.on_conflict_do_nothing(index_elements=["name"]))
        return connection.execute(select(keys.c.value).where(keys.c.name == name)).scalar_one()

    return bytes.fromhex(await database.write(work))
