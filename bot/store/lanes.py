"""Counting who waits in which lane. Steps of a transaction of `bot.store.jobs`; the statements are prepared once."""

from sqlalchemy import Connection, and_, bindparam, select, update

from bot.errors import LineFull
from bot.store.dialect import Upsert
from bot.store.tables import lane_members, lanes

_ENTER_LANE = Upsert(
    lanes,
    ("guild_id", "waiting", "ready", "created_at"),
    key=("guild_id",),
    change={"waiting": lanes.c.waiting + 1, "ready": lanes.c.ready + 1},
    where=lanes.c.waiting < bindparam("limit"),
)
_ENTER_MEMBER = Upsert(
    lane_members,
    ("guild_id", "user_id", "waiting", "ready", "created_at"),
    key=("guild_id", "user_id"),
    change={"waiting": lane_members.c.waiting + 1, "ready": lane_members.c.ready + 1},
    where=lane_members.c.waiting < bindparam("limit"),
)
_LANE = update(lanes).where(lanes.c.guild_id == bindparam("guild"))
_MEMBER = update(lane_members).where(
    and_(lane_members.c.guild_id == bindparam("guild"), lane_members.c.user_id == bindparam("user"))
)
_CHANGE = (
    _LANE.values(waiting=lanes.c.waiting + bindparam("more_waiting"), ready=lanes.c.ready + bindparam("more_ready")),
    _MEMBER.values(
        waiting=lane_members.c.waiting + bindparam("more_waiting"),
        ready=lane_members.c.ready + bindparam("more_ready"),
    ),
)
_SERVE = (
    _LANE.values(waiting=lanes.c.waiting - 1, ready=lanes.c.ready - 1, served_at=bindparam("served")),
    _MEMBER.values(waiting=lane_members.c.waiting - 1, ready=lane_members.c.ready - 1, served_at=bindparam("served")),
)
_LANE_WAITING = select(lanes.c.waiting).where(lanes.c.guild_id == bindparam("guild"))
_MEMBER_WAITING = select(lane_members.c.waiting).where(
    lane_members.c.guild_id == bindparam("guild"), lane_members.c.user_id == bindparam("user")
)


def enter(connection: Connection, guild_id: int, user_id: int, *, now: int, guild_limit: int, user_limit: int) -> None:
    """Count one more waiting, claimable job.

    Raises:
        LineFull: the guild or the member has as many waiting as the operator allows.
    """
    row = {"guild_id": guild_id, "waiting": 1, "ready": 1, "created_at": now}
    if not _ENTER_MEMBER.run(connection, {**row, "user_id": user_id, "limit": user_limit}):
        raise _member_full(user_limit)
    if not _ENTER_LANE.run(connection, {**row, "limit": guild_limit}):
        raise _lane_full(guild_limit)


def check(connection: Connection, guild_id: int, user_id: int, *, guild_limit: int, user_limit: int) -> None:
    """What `enter` would say, without entering. Raises LineFull."""
    given = {"guild": guild_id, "user": user_id}
    if (connection.execute(_MEMBER_WAITING, given).scalar_one_or_none() or 0) >= user_limit:
        raise _member_full(user_limit)
    if (connection.execute(_LANE_WAITING, given).scalar_one_or_none() or 0) >= guild_limit:
        raise _lane_full(guild_limit)


def _member_full(limit: int) -> LineFull:
    return LineFull(
        f"You have {limit} requests waiting, which is the most this bot takes. Wait for one to finish, or cancel one."
    )


def _lane_full(limit: int) -> LineFull:
    return LineFull(f"This server has {limit} requests waiting, which is the most this bot takes. Try again later.")


def change(connection: Connection, guild_id: int, user_id: int, *, waiting: int, ready: int) -> None:
    """Add to the two counts of the lane and of the member."""
    given = {"guild": guild_id, "user": user_id, "more_waiting": waiting, "more_ready": ready}
    for statement in _CHANGE:
        connection.execute(statement, given)


def serve(connection: Connection, guild_id: int, user_id: int, *, at: int) -> None:
    """One job leaves the line to be made; `at` (microseconds) puts its lane and member behind the others."""
    for statement in _SERVE:
        connection.execute(statement, {"guild": guild_id, "user": user_id, "served": at})
