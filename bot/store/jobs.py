"""The queue: accepting a job, claiming the next one, and each arrow of a job's life as one compare-and-set UPDATE.

    queued ──claim──▶ submitted ──rendered──▶ rendered ──posted──▶ posted
      └─cancel─▶ cancelled └──requeue──▶ queued   └──────┴──fail──▶ failed

Only the functions here write `jobs.state`, always as `UPDATE … WHERE id = … AND state = <the one before>` in one
transaction with the money and the counts of the lane. A False or None means that somebody else was first.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, and_, bindparam, delete, func, or_, select, update

from bot.config import QueueSettings
from bot.store import lanes, ledger
from bot.store.claims import ANY_READY, CLAIMABLE, DELAYED, UNFINISHED, in_turns, next_job, next_lane
from bot.store.database import Database, StoreError
from bot.store.dialect import MAKERS
from bot.store.records import Job, NewJob, Settled, State, Video, new_id
from bot.store.tables import job_files, jobs, lane_members, videos
from bot.store.tables import lanes as lane_rows

# Prepared once: building a statement costs more than running it.
_BY_ID = select(jobs).where(jobs.c.id == bindparam("job"))
_BY_REQUEST_KEY = select(jobs).where(jobs.c.request_key == bindparam("key"))
_CLAIM = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.state == State.QUEUED.value)
    .values(state=State.SUBMITTED.value, ready=False, submitted_at=bindparam("now"), attempts=jobs.c.attempts + 1)
    .returning(*jobs.c)
)
_CARD = update(jobs).where(jobs.c.id == bindparam("job")).values(card_message_id=bindparam("card")).returning(*jobs.c)
_NEW_VIDEO = videos.insert()
_POST_VIDEO = (
    update(videos)
    .where(videos.c.id == bindparam("job"))
    .values(message_id=bindparam("message"), channel_id=bindparam("channel"))
)
_SAME_MEMBER = and_(jobs.c.guild_id == lane_members.c.guild_id, jobs.c.user_id == lane_members.c.user_id)

_LINE = (
    select(jobs)
    .join(lane_members, _SAME_MEMBER)
    .where(jobs.c.guild_id == bindparam("guild"), jobs.c.state == State.QUEUED.value)
    .order_by(lane_members.c.served_at, lane_members.c.created_at, jobs.c.created_at, jobs.c.id)
)


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
        self._next_lane = next_lane(limits)
        self._next_job = next_job(limits)
        self._served = 0
        self.work_left = True
        """Whether the last claim left anything to be claimed, now or after another job's end."""

    # --- coming in

    async def accept(self, new: NewJob) -> Accepted:
        """Put a request in line and reserve its price.

        Raises:
            LineFull: too many requests are waiting for this guild or member.
            OverBudget: the month's budget would be passed.
            StoreError: the database failed; nothing was accepted.
        """
        now = self._clock()
        row = _new_row(self._make_id(now), new, now)
        files = [{"job_id": row["id"], "key": key} for key in dict.fromkeys(new.files)]
        limits = self._limits

        def work(connection: Connection) -> Accepted:
            job = _job(connection, _insert(connection.dialect.name), row)
            if job is None:
                before = _job(connection, _BY_REQUEST_KEY, {"key": new.request_key})
                return Accepted(_there(before), duplicate=True)
            lanes.enter(
                connection,
                new.guild_id,
                new.user_id,
                now=now,
                guild_limit=limits.per_guild_waiting,
                user_limit=limits.per_user_waiting,
            )
            ledger.reserve(connection, job.id, new, now=now, monthly_limit=self._monthly_limit)
            if files:
                connection.execute(job_files.insert(), files)
            return Accepted(job, duplicate=False)

        return await self._db.write(work)

    async def check_room(self, guild_id: int, user_id: int) -> None:
        """Look whether a request would find a place in line, before work is put into it. `accept` has the last word.

        Raises:
            LineFull: too many requests are waiting for this guild or member.
        """
        limits = self._limits
        await self._db.read(
            lambda connection: lanes.check(
                connection,
                guild_id,
                user_id,
                guild_limit=limits.per_guild_waiting,
                user_limit=limits.per_user_waiting,
            )
        )

    # --- being served

    async def claim(self, *, room: int) -> Job | None:
        """Take the next job: queued → submitted. `room` is what this process may still start; 0 claims nothing.

        The lane served longest ago that has work and is below its limit; in it the member served longest ago, below
        theirs; their oldest job.
        """
        return await self._db.write(self._claim) if room > 0 else None

    def _claim(self, connection: Connection) -> Job | None:
        guild_id = connection.execute(self._next_lane).scalar_one_or_none()
        if guild_id is None:
            self.work_left = connection.execute(ANY_READY).first() is not None
            return None
        job_id = connection.execute(self._next_job, {"guild": guild_id}).scalar_one()
        now = self._clock()
        job = _job(connection, _CLAIM, {"job": job_id, "now": now})
        if job is not None:
            # Microseconds, and never twice the same: two claims in one millisecond keep their order.
            # And never before what was there: after a clock that was ahead, its lane would wait for the day to come.
            self._served = max((self._served or _last_served(connection)) + 1, now * 1000)
            lanes.serve(connection, job.guild_id, job.user_id, at=self._served)
        self.work_left = connection.execute(ANY_READY).first() is not None
        return job

    async def requeue(self, job_id: str, *, delay: float) -> Job | None:
        """submitted → queued, claimable again after `delay` seconds. Only where nothing was charged, for certain."""
        not_before = self._clock() + int(delay * 1000)

        def work(connection: Connection) -> Job | None:
            job = _move(connection, job_id, (State.SUBMITTED,), State.QUEUED, ready=False, not_before=not_before)
            if job is not None:
                lanes.change(connection, job.guild_id, job.user_id, waiting=1, ready=0)
            return job

        return await self._db.write(work)

    async def wake_delayed(self) -> float | None:
        """Make every delayed job whose time has come claimable. Returns the seconds until the next one, or None."""
        now = self._clock()
        earliest = select(func.min(jobs.c.not_before)).where(DELAYED)
        soonest = await self._db.read(lambda connection: connection.execute(earliest).scalar_one())
        if soonest is None or soonest > now:
            return None if soonest is None else (soonest - now) / 1000
        due = update(jobs).where(DELAYED, jobs.c.not_before <= now).values(ready=True, not_before=None)
        due = due.returning(jobs.c.guild_id, jobs.c.user_id)

        def work(connection: Connection) -> None:
            for row in connection.execute(due).all():
                lanes.change(connection, row.guild_id, row.user_id, waiting=0, ready=1)

        await self._db.write(work)
        return 0.0

    # --- ending

    async def rendered(self, job_id: str, *, size: int) -> tuple[Job, Video] | None:
        """submitted → rendered: the video, of `size` bytes, is in storage, and its price is spent."""
        now = self._clock()

        def work(connection: Connection) -> tuple[Job, Video] | None:
            job = _move(connection, job_id, (State.SUBMITTED,), State.RENDERED, rendered_at=now)
            if job is None:
                return None
            video = Video.of(job, size=size, now=now)
            connection.execute(_NEW_VIDEO, asdict(video))
            ledger.settle(connection, job.id, Settled.CHARGED, now=now)
            return job, video

        return await self._db.write(work)

    async def posted(self, job_id: str, *, channel_id: int, message_id: int) -> Job | None:
        """rendered → posted, with the message that holds the video."""
        values = {"message_id": message_id, "ended_at": self._clock()}
        video = {"job": job_id, "message": message_id, "channel": channel_id}

        def work(connection: Connection) -> Job | None:
            job = _move(connection, job_id, (State.RENDERED,), State.POSTED, **values)
            if job is not None:
                connection.execute(_POST_VIDEO, video)
            return job

        return await self._db.write(work)

    async def fail(self, job_id: str, before: State, *, reason: str, text: str, settled: Settled) -> Job | None:
        """submitted or rendered → failed. `reason` is a short code, `text` the sentence for the requester."""
        now = self._clock()

        def work(connection: Connection) -> Job | None:
            job = _move(connection, job_id, (before,), State.FAILED, reason=reason, reason_text=text, ended_at=now)
            if job is not None:
                ledger.settle(connection, job_id, settled, now=now)
            return job

        return await self._db.write(work)

    async def cancel(self, job_id: str) -> Job | None:
        """queued or held → cancelled; the money is free again."""
        now = self._clock()

        def work(connection: Connection) -> Job | None:
            was_ready = connection.execute(select(jobs.c.ready).where(jobs.c.id == job_id)).scalar_one_or_none()
            before = (State.QUEUED, State.HELD)
            job = _move(connection, job_id, before, State.CANCELLED, ready=False, ended_at=now)
            if job is not None:
                lanes.change(connection, job.guild_id, job.user_id, waiting=-1, ready=-1 if was_ready else 0)
                ledger.settle(connection, job_id, Settled.RELEASED, now=now)
            return job

        return await self._db.write(work)

    # --- looking

    async def get(self, job_id: str) -> Job | None:
        """The job with this id."""
        return await self._db.read(lambda connection: _job(connection, _BY_ID, {"job": job_id}))

    async def unfinished(self) -> list[Job]:
        """Jobs found in submitted or rendered: at start-up, what the last process left behind."""
        query = select(jobs).where(UNFINISHED).order_by(jobs.c.submitted_at)
        return await self._db.read(lambda connection: _jobs(connection, query))

    async def without_card(self) -> list[Job]:
        """Waiting jobs whose card was not written down, newest first, a hundred at most."""
        query = select(jobs).where(CLAIMABLE, jobs.c.card_message_id.is_(None))
        query = query.order_by(jobs.c.created_at.desc()).limit(100)
        return await self._db.read(lambda connection: _jobs(connection, query))

    async def last_ended(self) -> list[Job]:
        """Jobs that ended in the last minute in which any did: at start-up, whose cards may not say so yet."""
        newest = select(func.max(jobs.c.ended_at)).scalar_subquery()
        query = select(jobs).where(jobs.c.ended_at >= newest - 60_000).order_by(jobs.c.ended_at)
        return await self._db.read(lambda connection: _jobs(connection, query))

    async def line(self, guild_id: int) -> list[Job]:
        """A guild's waiting jobs in the order in which they will be served."""
        return in_turns(await self._db.read(lambda connection: _jobs(connection, _LINE, {"guild": guild_id})))

    async def standing(self, job: Job) -> tuple[Job, list[Job]]:
        """A job as it is by now, and if it waits, the line that it waits in; both at one moment."""

        def work(connection: Connection) -> tuple[Job, list[Job]]:
            now = _job(connection, _BY_ID, {"job": job.id}) or job
            waits = now.state is State.QUEUED
            return now, in_turns(_jobs(connection, _LINE, {"guild": job.guild_id})) if waits else []

        return await self._db.read(work)

    async def set_card(self, job_id: str, message_id: int) -> Job | None:
        """Remember the status card's message; returns the job as it is by now."""
        return await self._db.write(lambda connection: _job(connection, _CARD, {"job": job_id, "card": message_id}))

    # --- files

    async def drop_files(self, job_id: str) -> list[str]:
        """Let go of a job's files. Returns their storage keys; other jobs may still need them."""
        gone = delete(job_files).where(job_files.c.job_id == job_id).returning(job_files.c.key)
        return await self._db.write(lambda connection: list(connection.execute(gone).scalars()))

    async def needed_files(self, keys: Iterable[str]) -> set[str]:
        """Those of the storage keys that any job needs, after all that was asked of the store before."""
        query = select(job_files.c.key).where(job_files.c.key.in_(list(keys))).distinct()
        # Among the writes, because an acceptance whose caller was cancelled may still be one of them.
        return await self._db.write(lambda connection: set(connection.execute(query).scalars()))

    async def files(self, job_id: str) -> list[str]:
        """The storage keys of a job's pictures and uploaded source."""
        query = select(job_files.c.key).where(job_files.c.job_id == job_id)
        return await self._db.read(lambda connection: list(connection.execute(query).scalars()))


def _last_served(connection: Connection) -> int:
    return connection.execute(select(func.max(lane_rows.c.served_at))).scalar_one() or 0


def _new_row(job_id: str, new: NewJob, now: int) -> dict[str, Any]:
    return {
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


def _move(connection: Connection, job_id: str, before: Sequence[State], after: State, **values: object) -> Job | None:
    statement = _arrow(tuple(before), after, tuple(values))
    return _job(connection, statement, {"job": job_id, **{f"new_{name}": value for name, value in values.items()}})


@cache
def _arrow(before: tuple[State, ...], after: State, names: tuple[str, ...]) -> Executable:
    was = or_(*(jobs.c.state == state.value for state in before))
    values = {name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in names}
    arrow = update(jobs).where(jobs.c.id == bindparam("job"), was)
    return arrow.values(state=after.value, **values).returning(*jobs.c)


@cache
def _insert(dialect: str) -> Executable:
    return MAKERS[dialect](jobs).on_conflict_do_nothing(index_elements=["request_key"]).returning(*jobs.c)


def _job(connection: Connection, query: Executable, given: Mapping[str, Any] | None = None) -> Job | None:
    found = _jobs(connection, query, given)
    return found[0] if found else None


def _jobs(connection: Connection, query: Executable, given: Mapping[str, Any] | None = None) -> list[Job]:
    return [Job.from_row(row) for row in connection.execute(query, given).mappings()]


def _there(job: Job | None) -> Job:
    # A request_key that is taken belongs to a row: both are read in one transaction.
    if job is None:
        raise StoreError("a job is gone that was there in the same transaction")
    return job
