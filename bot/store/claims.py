"""Who is next: the queries behind a claim, and the order of a lane. They read the beginnings of short indexes."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Select, TextClause, and_, bindparam, func, select, text

from bot.config import QueueSettings
from bot.store.records import Job
from bot.store.tables import jobs, lane_members
from bot.store.tables import lanes as lane_rows

# Written out, not bound: a database uses a partial index only where it sees the index's own condition in the query.
CLAIMABLE = text("jobs.state = 'queued' AND jobs.ready")
DELAYED = text("jobs.state = 'queued' AND NOT jobs.ready")
ANY_READY = text("SELECT 1 FROM lanes WHERE ready > 0 AND NOT paused LIMIT 1")
UNFINISHED = text("jobs.state IN ('submitted', 'rendered')")


def next_lane(limits: QueueSettings) -> Select[int]:
    """The lane to serve next. Walks its short index from the beginning, however much waits behind.

    Lane, member and job are three steps, not one join: SQLite's planner begins such a join at the jobs, and sorts them.
    """
    running = _count("of_lane", lane_rows.c.guild_id)
    member = select(lane_members.c.user_id).where(lane_members.c.guild_id == lane_rows.c.guild_id, _free(limits))
    return (
        select(lane_rows.c.guild_id)
        .where(text("lanes.ready > 0 AND NOT lanes.paused"), running < limits.per_guild_running, member.exists())
        .order_by(lane_rows.c.served_at, lane_rows.c.created_at)
        .limit(1)
    )


def next_job(limits: QueueSettings) -> Select[str]:
    """The id of the job to serve next in the lane that is bound as `guild`."""
    guild = bindparam("guild", type_=BigInteger)
    member = (
        select(lane_members.c.user_id)
        .where(lane_members.c.guild_id == guild, _free(limits))
        .order_by(lane_members.c.served_at, lane_members.c.created_at)
        .limit(1)
    )
    return (
        select(jobs.c.id)
        .where(jobs.c.guild_id == guild, jobs.c.user_id == member.scalar_subquery(), CLAIMABLE)
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(1)
    )


def _free(limits: QueueSettings) -> ColumnElement[bool]:
    """The member of `lane_members` has work and is below their limit."""
    running = _count("of_member", lane_members.c.guild_id, lane_members.c.user_id)
    return and_(text("lane_members.ready > 0"), running < limits.per_user_running)


def _count(name: str, guild_id: ColumnElement[int], user_id: ColumnElement[int] | None = None) -> ScalarSelect[int]:
    """How many jobs of a lane, or of a member in it, are at work."""
    of = jobs.alias(name)
    query = select(func.count()).select_from(of).where(of.c.guild_id == guild_id, _running(name))
    return (query if user_id is None else query.where(of.c.user_id == user_id)).scalar_subquery()


def _running(table: str) -> TextClause:
    return text(f"{table}.state IN ('submitted', 'rendered')")


def in_turns(waiting: Sequence[Job]) -> list[Job]:
    """Jobs sorted by member (least recently served first) and age, dealt out one a member in turn."""
    hands: dict[int, list[Job]] = {}
    for job in waiting:
        hands.setdefault(job.user_id, []).append(job)
    longest = max((len(hand) for hand in hands.values()), default=0)
    return [hand[turn] for turn in range(longest) for hand in hands.values() if turn < len(hand)]
