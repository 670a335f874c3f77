"""Counting who waits in which lane. Steps of a transaction of `bot.store.jobs`."""

from sqlalchemy import ColumnElement, Connection, Table, and_, update

from bot.errors import LineFull
from bot.store.dialect import insert
from bot.store.tables import lane_members, lanes


def enter(connection: Connection, guild_id: int, user_id: int, *, now: int, guild_limit: int, user_limit: int) -> None:
    """Count one more waiting, claimable job.

    Raises:
        LineFull: the guild or the member has as many waiting as the operator allows.
    """
    _enter(
        connection, lane_members, {"guild_id": guild_id, "user_id": user_id}, now, user_limit,
        f"You have {user_limit} requests waiting, which is the most this bot takes. "
        "Wait for one to finish, or cancel one.",
    )  # fmt: skip
    _enter(
        connection, lanes, {"guild_id": guild_id}, now, guild_limit,
        f"This server has {guild_limit} requests waiting, which is the most this bot takes. Try again later.",
    )  # fmt: skip


def _enter(connection: Connection, table: Table, key: dict[str, int], now: int, limit: int, sentence: str) -> None:
    row = insert(connection, table).values(**key, waiting=1, ready=1, created_at=now)
    changed = connection.execute(
        row.on_conflict_do_update(
            index_elements=list(key),
            set_={"waiting": table.c.waiting + 1, "ready": table.c.ready + 1},
            where=table.c.waiting < limit,
        )
    )
    if changed.rowcount == 0:
        raise LineFull(sentence)


def change(
    connection: Connection, guild_id: int, user_id: int, *, waiting: int, ready: int, served_at: int | None = None
) -> None:
    """Add to the two counts of the lane and of the member; `served_at` (ms) marks a claim, for fairness."""
    member = and_(lane_members.c.guild_id == guild_id, lane_members.c.user_id == user_id)
    _change(connection, lanes, lanes.c.guild_id == guild_id, waiting, ready, served_at)
    _change(connection, lane_members, member, waiting, ready, served_at)


def _change(
    connection: Connection, table: Table, where: ColumnElement[bool], waiting: int, ready: int, served: int | None
) -> None:
    values: dict[str, object] = {"waiting": table.c.waiting + waiting, "ready": table.c.ready + ready}
    if served is not None:
        values["served_at"] = served
    connection.execute(update(table).where(where).values(**values))
