"""Upload tickets as rows, so that any process of the service can take an upload. Implements `storage.TicketBook`."""

import time
from collections.abc import Callable

from sqlalchemy import BigInteger, Connection, bindparam, update

from bot.storage import Ticket
from bot.store.database import Database
from bot.store.tables import tickets

# Prepared once: building a statement costs more than running it.
_VOID = update(tickets).where(tickets.c.job_id == bindparam("job"), tickets.c.state == "open").values(state="void")
_ISSUE = tickets.insert()
_TAKE = (
    update(tickets)
    .where(tickets.c.token_hash == bindparam("token"), tickets.c.state == "open")
    .where(tickets.c.expires_at > bindparam("now", type_=BigInteger))
    .values(state="taken")
    .returning(tickets.c.job_id, tickets.c.key, tickets.c.max_bytes, tickets.c.expires_at)
)
_SETTLE = (
    update(tickets)
    .where(tickets.c.token_hash == bindparam("token"), tickets.c.state == "taken")
    .values(state=bindparam("after"))
)


class Tickets:
    """One-time rights to PUT one video. Only hashes of the tokens are kept."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock

    async def issue(self, token_hash: str, ticket: Ticket) -> None:
        """Write down a new ticket; earlier unused ones of the same job are void."""
        row = {
            "token_hash": token_hash,
            "job_id": ticket.job_id,
            "key": ticket.key,
            "max_bytes": ticket.max_bytes,
            "expires_at": int(ticket.expires_at * 1000),
            "state": "open",
        }

        def work(connection: Connection) -> None:
            connection.execute(_VOID, {"job": ticket.job_id})
            connection.execute(_ISSUE, row)

        await self._db.write(work)

    async def take(self, token_hash: str) -> Ticket | None:
        """open → taken, for the one upload that is first. None: unknown, taken, void or expired."""
        given = {"token": token_hash, "now": int(self._clock() * 1000)}
        row = await self._db.write(lambda connection: connection.execute(_TAKE, given).one_or_none())
        if row is None:
            return None
        return Ticket(job_id=row.job_id, key=row.key, max_bytes=row.max_bytes, expires_at=row.expires_at / 1000)

    async def settle(self, token_hash: str, *, stored: bool) -> None:
        """taken → stored, or back to open when the upload broke off, so that the sender may try again."""
        given = {"token": token_hash, "after": "stored" if stored else "open"}
        await self._db.write(lambda connection: connection.execute(_SETTLE, given).close())

    async def reopen(self) -> int:
        """At start-up: uploads that the last process was taking broke off with it. Returns how many."""
        taken = update(tickets).where(tickets.c.state == "taken").values(state="open")
        return await self._db.write(lambda connection: connection.execute(taken).rowcount)
