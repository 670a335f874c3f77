"""What the store hands out: frozen records of jobs and videos, and a job's states."""

import secrets
from dataclasses import dataclass, fields
from enum import StrEnum

from sqlalchemy import RowMapping

from bot.model import Operation, Request

# Crockford's base 32: no letter that reads like a digit, sorts as it counts.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(milliseconds: int) -> str:
    """An id of 20 characters: 9 for the time, so that ids sort by age, and 11 random ones (55 bits).

    Short enough for Discord's nonce (25 characters) and for a button's custom_id (100).
    """
    number = (milliseconds << 55) | secrets.randbits(55)
    return "".join(_DIGITS[(number >> shift) & 31] for shift in range(95, -1, -5))


class State(StrEnum):
    """A job's life; the arrows between the states are in DESIGN.md and in `bot.store.jobs`."""

    HELD = "held"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    RENDERED = "rendered"
    REVIEWING = "reviewing"
    POSTED = "posted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def over(self) -> bool:
        """Nothing will change any more."""
        return self in {State.POSTED, State.FAILED, State.CANCELLED, State.REJECTED}


class Settled(StrEnum):
    """How a reservation of money ends."""

    CHARGED = "charged"
    RELEASED = "released"
    POSSIBLY_CHARGED = "possibly_charged"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A request that has passed every check and asks for a place in line. `price` is in micro-dollars."""

    guild_id: int
    channel_id: int
    user_id: int
    request: Request
    request_key: str
    price: int
    upload_limit: int
    parent_id: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request. Times are milliseconds since the epoch, `price` micro-dollars, `upload_limit` bytes."""

    id: str
    guild_id: int
    channel_id: int
    user_id: int
    state: State
    request: Request
    parent_id: str | None
    price: int
    upload_limit: int
    attempts: int
    card_message_id: int | None
    reason: str | None
    reason_text: str | None
    message_id: int | None
    created_at: int
    submitted_at: int | None
    rendered_at: int | None
    ended_at: int | None

    @property
    def operation(self) -> Operation:
        """What the model is asked to do."""
        return self.request.operation

    @property
    def video_key(self) -> str:
        """Where the finished video is kept. A video has its job's id."""
        return self.key_of(self.id)

    @staticmethod
    def key_of(job_id: str) -> str:
        """Where the video of this job is, or will be."""
        return f"videos/{job_id}.mp4"

    @property
    def log_context(self) -> dict[str, object]:
        """What every log line about this job carries. No prompt: logs are read by more people than the channel is."""
        return {"job": self.id, "guild": self.guild_id, "user": self.user_id, "operation": self.operation.value}

    @classmethod
    def from_row(cls, row: RowMapping) -> "Job":
        """The record of a row of `jobs`."""
        values = {field.name: row[field.name] for field in fields(cls) if field.name not in {"state", "request"}}
        return cls(state=State(row["state"]), request=Request.from_json(row["request"]), **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A finished clip with its lineage. `seconds` is its length, `size` its bytes, `created_at` milliseconds."""

    id: str
    guild_id: int
    channel_id: int
    user_id: int
    operation: Operation
    prompt: str
    parent_id: str | None
    key: str
    seconds: float
    width: int
    height: int
    size: int
    message_id: int | None
    created_at: int
    deleted_at: int | None

    @classmethod
    def of(cls, job: Job, *, size: int, now: int) -> "Video":
        """The video that a job has just made, as long as was asked for; nobody has looked into the file yet."""
        return cls(
            id=job.id,
            guild_id=job.guild_id,
            channel_id=job.channel_id,
            user_id=job.user_id,
            operation=job.operation,
            prompt=job.request.prompt,
            parent_id=job.parent_id,
            key=job.video_key,
            seconds=job.request.seconds,
            width=0,
            height=0,
            size=size,
            message_id=None,
            created_at=now,
            deleted_at=None,
        )

    @property
    def measured(self) -> bool:
        """Whether somebody has looked into the file; before that, width and height are 0."""
        return self.width > 0

    @classmethod
    def from_row(cls, row: RowMapping) -> "Video":
        """The record of a row of `videos`."""
        values = {field.name: row[field.name] for field in fields(cls) if field.name != "operation"}
        return cls(operation=Operation(row["operation"]), **values)
