"""The queue: accepting a job, claiming the next one, and each arrow of a job's life as one compare-and-set UPDATE.

    queued ──claim──▶ submitted ──rendered──▶ rendered ──posted──▶ posted
      └─cancel─▶ cancelled └──requeue──▶ queued   └──────┴──fail──▶ failed

Only the functions here write `jobs.state`, always as `UPDATE … WHERE id = … AND state = <the one before>` in one
transaction with the money and the counts of the lane. A False or None means that somebody else was first.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    TextClause,
    and_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.config import QueueSettings
from bot.store import lanes, ledger
from bot.store.database import Database
from bot.store.dialect import insert
from bot.store.records import Job, NewJob, Settled, State, Video, new_id
from bot.store.tables import job_files, jobs, lane_members, videos
from bot.store.tables import lanes as lane_rows

# Written out, not bound: a database uses a partial index only where it sees the index's own condition in the query.
CLAIMABLE = text("jobs.state = 'queued' AND jobs.ready")
DELAYED = text("jobs.state = 'queued' AND NOT jobs.ready")
UNFINISHED = text("jobs.state IN ('submitted', 'rendered')")
_SAME_MEMBER = and_(jobs.c.guild_id == lane_members.c.guild_id, jobs.c.user_id == lane_members.c.user_id)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is in line. `duplicate`: the same form or interaction had made it before."""

    job: Job
    duplicate: bool


class Jobs:
    """The queue in the database. `monthly_limit` is the operator's budget in micro-dollars, 0 for none."""

    def __init__(
        self,
        database: Database,
        limits: QueueSettings,
        *,
        monthly_limit: int = 0,
        clock: Callable[[], int] = _milliseconds,
        make_id: Callable[[int], str] = new_id,
    ) -> None:
        self._db = database
        self._limits = limits
        self._monthly_limit = monthly_limit
        self._clock = clock
        self._make_id = make_id
        self._next_lane = _next_lane(limits)
        self._next_job = _next_job(limits)
        self._served = 0

    # --- coming in

    async def accept(self, new: NewJob) -> Accepted:
        """Put a request in line and reserve its price.

        Raises:
            LineFull: too many requests are waiting for this guild or member.
            OverBudget: the month's budget would be passed.
            StoreError: the database failed; nothing was accepted.
        """
        now = self._clock()
        async with self._db.write() as connection:
            job = await self._insert(connection, self._make_id(now), new, now)
            if job is None:
                return Accepted(await self._by_request_key(connection, new.request_key), duplicate=True)
            await lanes.enter(
                connection,
                new.guild_id,
                new.user_id,
                now=now,
                guild_limit=self._limits.per_guild_waiting,
                user_limit=self._limits.per_user_waiting,
            )
            await ledger.reserve(connection, job.id, new, now=now, monthly_limit=self._monthly_limit)
            if new.files:
                rows = [{"job_id": job.id, "key": key} for key in dict.fromkeys(new.files)]
                await connection.execute(job_files.insert(), rows)
        return Accepted(job, duplicate=False)

    async def _insert(self, connection: AsyncConnection, job_id: str, new: NewJob, now: int) -> Job | None:
        values = {
            "id": job_id,
            "guild_id": new.guild_id,
            "channel_id": new.channel_id,
            "user_id": new.user_id,
            "state": State.QUEUED.value,
            "operation": new.request.operation.value,
            "request": new.request.to_json(),
            "request_key": new.request_key,
            "parent_id": new.parent_id,
            "price": new.price,
            "upload_limit": new.upload_limit,
            "ready": True,
            "created_at": now,
        }
        row = insert(connection, jobs).values(**values).on_conflict_do_nothing(index_elements=["request_key"])
        found = (await connection.execute(row.returning(*jobs.c))).mappings().one_or_none()
        return Job.from_row(found) if found else None

    async def _by_request_key(self, connection: AsyncConnection, request_key: str) -> Job:
        found = await connection.execute(select(jobs).where(jobs.c.request_key == request_key))
        return Job.from_row(found.mappings().one())

    # --- being served

    async def claim(self, *, room: int) -> Job | None:
        """Take the next job: queued → submitted. `room` is what this process may still start; 0 claims nothing.

        The lane served longest ago that has work and is below its limit; in it the member served longest ago, below
        theirs; their oldest job.
        """
        if room < 1:
            return None
        async with self._db.write() as connection:
            guild_id = (await connection.execute(self._next_lane)).scalar_one_or_none()
            if guild_id is None:
                return None
            job_id = (await connection.execute(self._next_job, {"guild": guild_id})).scalar_one()
            now = self._clock()
            job = await self._move(
                connection,
                job_id,
                (State.QUEUED,),
                State.SUBMITTED,
                ready=False,
                submitted_at=now,
                attempts=jobs.c.attempts + 1,
            )
            if job is not None:
                # Microseconds, and never twice the same: two claims in one millisecond keep their order.
                self._served = max(self._served + 1, now * 1000)
                await lanes.change(connection, job.guild_id, job.user_id, waiting=-1, ready=-1, served_at=self._served)
        return job

    async def requeue(self, job_id: str, *, delay: float) -> bool:
        """submitted → queued, claimable again after `delay` seconds. Only where nothing was charged, for certain."""
        now = self._clock()
        async with self._db.write() as connection:
            job = await self._move(
                connection, job_id, (State.SUBMITTED,), State.QUEUED, ready=False, not_before=now + int(delay * 1000)
            )
            if job is not None:
                await lanes.change(connection, job.guild_id, job.user_id, waiting=1, ready=0)
        return job is not None

    async def wake_delayed(self) -> float | None:
        """Make every delayed job whose time has come claimable. Returns the seconds until the next one, or None."""
        now = self._clock()
        async with self._db.read() as connection:
            soonest = (await connection.execute(select(func.min(jobs.c.not_before)).where(DELAYED))).scalar_one()
        if soonest is None or soonest > now:
            return None if soonest is None else (soonest - now) / 1000
        async with self._db.write() as connection:
            due = update(jobs).where(DELAYED, jobs.c.not_before <= now).values(ready=True, not_before=None)
            rows = (await connection.execute(due.returning(jobs.c.guild_id, jobs.c.user_id))).all()
            for row in rows:
                await lanes.change(connection, row.guild_id, row.user_id, waiting=0, ready=1)
        return 0.0

    # --- ending

    async def rendered(self, video: Video) -> Job | None:
        """submitted → rendered: the video is in storage, and its price is spent."""
        now = self._clock()
        async with self._db.write() as connection:
            job = await self._move(connection, video.id, (State.SUBMITTED,), State.RENDERED, rendered_at=now)
            if job is not None:
                await connection.execute(videos.insert().values(**asdict(video)))
                await ledger.settle(connection, job.id, Settled.CHARGED, now=now)
        return job

    async def posted(self, job_id: str, *, channel_id: int, message_id: int) -> Job | None:
        """rendered → posted, with the message that holds the video."""
        now = self._clock()
        async with self._db.write() as connection:
            job = await self._move(
                connection, job_id, (State.RENDERED,), State.POSTED, message_id=message_id, ended_at=now
            )
            if job is not None:
                where = update(videos).where(videos.c.id == job_id)
                await connection.execute(where.values(message_id=message_id, channel_id=channel_id))
        return job

    async def fail(self, job_id: str, before: State, *, reason: str, text: str, settled: Settled) -> Job | None:
        """submitted or rendered → failed. `reason` is a short code, `text` the sentence for the requester."""
        now = self._clock()
        async with self._db.write() as connection:
            job = await self._move(
                connection, job_id, (before,), State.FAILED, reason=reason, reason_text=text, ended_at=now
            )
            if job is not None:
                await ledger.settle(connection, job_id, settled, now=now)
        return job

    async def cancel(self, job_id: str) -> Job | None:
        """queued or held → cancelled; the money is free again."""
        now = self._clock()
        async with self._db.write() as connection:
            before = (
                await connection.execute(select(jobs.c.state, jobs.c.ready).where(jobs.c.id == job_id))
            ).one_or_none()
            job = await self._move(
                connection, job_id, (State.QUEUED, State.HELD), State.CANCELLED, ready=False, ended_at=now
            )
            if job is not None and before is not None:
                ready = 1 if before.ready else 0
                await lanes.change(connection, job.guild_id, job.user_id, waiting=-1, ready=-ready)
                await ledger.settle(connection, job_id, Settled.RELEASED, now=now)
        return job

    async def _move(
        self, connection: AsyncConnection, job_id: str, before: Sequence[State], after: State, **values: object
    ) -> Job | None:
        arrow = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state.in_([state.value for state in before]))
            .values(state=after.value, **values)
            .returning(*jobs.c)
        )
        found = (await connection.execute(arrow)).mappings().one_or_none()
        return Job.from_row(found) if found else None

    # --- looking

    async def get(self, job_id: str) -> Job | None:
        """The job with this id."""
        async with self._db.read() as connection:
            found = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).mappings().one_or_none()
        return Job.from_row(found) if found else None

    async def unfinished(self) -> list[Job]:
        """Jobs found in submitted or rendered: at start-up, what the last process left behind."""
        async with self._db.read() as connection:
            found = await connection.execute(select(jobs).where(UNFINISHED).order_by(jobs.c.submitted_at))
            return [Job.from_row(row) for row in found.mappings()]

    async def line(self, guild_id: int) -> list[Job]:
        """A guild's waiting jobs in the order in which they will be served."""
        async with self._db.read() as connection:
            found = await connection.execute(
                select(jobs, lane_members.c.served_at, lane_members.c.created_at.label("member_since"))
                .join(lane_members, _SAME_MEMBER)
                .where(jobs.c.guild_id == guild_id, jobs.c.state == State.QUEUED.value)
                .order_by(lane_members.c.served_at, lane_members.c.created_at, jobs.c.created_at, jobs.c.id)
            )  # fmt: skip
            rows = found.mappings().all()
        return in_turns([Job.from_row(row) for row in rows])

    async def set_card(self, job_id: str, message_id: int) -> Job | None:
        """Remember the status card's message; returns the job as it is by now."""
        card = update(jobs).where(jobs.c.id == job_id).values(card_message_id=message_id).returning(*jobs.c)
        async with self._db.write() as connection:
            found = (await connection.execute(card)).mappings().one_or_none()
        return Job.from_row(found) if found else None

    async def drop_files(self, job_id: str) -> list[str]:
        """Let go of a job's files. Returns their storage keys; other jobs may still need them."""
        async with self._db.write() as connection:
            gone = await connection.execute(
                delete(job_files).where(job_files.c.job_id == job_id).returning(job_files.c.key)
            )
            return [row.key for row in gone]

    async def needed_files(self, keys: Iterable[str]) -> set[str]:
        """Those of the storage keys that any job needs."""
        query = select(job_files.c.key).where(job_files.c.key.in_(list(keys))).distinct()
        async with self._db.read() as connection:
            return {row.key for row in await connection.execute(query)}

    async def files(self, job_id: str) -> list[str]:
        """The storage keys of a job's pictures and uploaded source."""
        async with self._db.read() as connection:
            found = await connection.execute(select(job_files.c.key).where(job_files.c.job_id == job_id))
            return [row.key for row in found]


def _next_lane(limits: QueueSettings) -> Select[int]:
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


def _next_job(limits: QueueSettings) -> Select[str]:
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
