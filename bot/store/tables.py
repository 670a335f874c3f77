"""The tables, as SQLAlchemy Core sees them. The migrations make them; this file and they must agree (a test compares).

Times are whole milliseconds since the epoch, money is whole micro-dollars, Discord's ids are signed 64-bit integers.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

NAMING: Final = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
metadata = MetaData(naming_convention=NAMING)

STATES: Final = (
    "held",
    "queued",
    "submitted",
    "rendered",
    "reviewing",
    "posted",
    "failed",
    "cancelled",
    "rejected",
)
LEDGER_STATES: Final = ("reserved", "charged", "released", "possibly_charged")
TICKET_STATES: Final = ("open", "taken", "stored", "void")


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """A CHECK that holds a column to a fixed list."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


jobs = Table(
    "jobs",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("guild_id", BigInteger, nullable=False),
    Column("channel_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("request", Text, nullable=False),
    # One per interaction or modal, so that a form that is sent twice makes one job.
    Column("request_key", String(64), nullable=False, unique=True),
    Column("parent_id", String(20)),
    Column("price", BigInteger, nullable=False),
    Column("upload_limit", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("ready", Boolean, nullable=False),
    Column("not_before", BigInteger),
    Column("card_message_id", BigInteger),
    Column("reason", String(32)),
    Column("reason_text", Text),
    Column("message_id", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("submitted_at", BigInteger),
    Column("rendered_at", BigInteger),
    Column("ended_at", BigInteger),
    one_of("state", STATES),
)
# Partial indexes: a claim must cost the same with a hundred jobs waiting as with a million (DESIGN.md, "The queue").
Index(
    "ix_jobs_claimable",
    jobs.c.guild_id,
    jobs.c.user_id,
    jobs.c.created_at,
    jobs.c.id,
    sqlite_where=text("state = 'queued' AND ready"),
    postgresql_where=text("state = 'queued' AND ready"),
)
Index(
    "ix_jobs_delayed",
    jobs.c.not_before,
    sqlite_where=text("state = 'queued' AND NOT ready"),
    postgresql_where=text("state = 'queued' AND NOT ready"),
)
Index(
    "ix_jobs_unfinished",
    jobs.c.guild_id,
    jobs.c.user_id,
    sqlite_where=text("state IN ('submitted', 'rendered')"),
    postgresql_where=text("state IN ('submitted', 'rendered')"),
)

Index("ix_jobs_ended_at", jobs.c.ended_at)

# `waiting` counts held and queued jobs; `ready` those of them that can be claimed now (not held, not delayed).
lanes = Table(
    "lanes",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("waiting", Integer, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("served_at", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", BigInteger, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("waiting >= 0 AND ready >= 0 AND ready <= waiting", name="counts"),
)
Index(
    "ix_lanes_next",
    lanes.c.served_at,
    lanes.c.created_at,
    sqlite_where=text("ready > 0 AND NOT paused"),
    postgresql_where=text("ready > 0 AND NOT paused"),
)

lane_members = Table(
    "lane_members",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("waiting", Integer, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("served_at", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("waiting >= 0 AND ready >= 0 AND ready <= waiting", name="counts"),
)
Index(
    "ix_lane_members_next",
    lane_members.c.guild_id,
    lane_members.c.served_at,
    lane_members.c.created_at,
    sqlite_where=text("ready > 0"),
    postgresql_where=text("ready > 0"),
)

# One row a job: what was reserved for it, and how that was settled, once.
ledger = Table(
    "ledger",
    metadata,
    Column("job_id", String(20), primary_key=True),
    Column("guild_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("month", String(7), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    one_of("state", LEDGER_STATES),
)

# What counts against a month's budget: reserved, charged and possibly charged. Scope 0 is the operator's.
spending = Table(
    "spending",
    metadata,
    Column("scope", BigInteger, primary_key=True, autoincrement=False),
    Column("month", String(7), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount >= 0", name="amount"),
)

# A video has the id of the job that made it.
videos = Table(
    "videos",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("guild_id", BigInteger, nullable=False),
    Column("channel_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("parent_id", String(20)),
    Column("key", String(255), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("message_id", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)
Index("ix_videos_recent", videos.c.guild_id, videos.c.created_at)
Index("ix_videos_message", videos.c.message_id)

# Which stored files a job needs (pictures, an uploaded source), so that a file goes with the last job that needs it.
job_files = Table(
    "job_files",
    metadata,
    Column("job_id", String(20), primary_key=True),
    Column("key", String(255), primary_key=True),
)
Index("ix_job_files_key", job_files.c.key)

tickets = Table(
    "tickets",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("job_id", String(20), nullable=False),
    Column("key", String(255), nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    one_of("state", TICKET_STATES),
)
Index("ix_tickets_job", tickets.c.job_id)

# Keys that must outlive a restart: for signed links, and for the end-user ids sent to the model.
keys = Table(
    "keys",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(128), nullable=False),
)
