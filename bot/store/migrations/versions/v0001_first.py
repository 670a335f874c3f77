"""The first tables: jobs and their lanes, ledger, videos, tickets and keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "job_files",
        sa.Column("job_id", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "key"),
    )
    op.create_index("ix_job_files_key", "job_files", ["key"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("parent_id", sa.String(length=20), nullable=True),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("upload_limit", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("card_message_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("reason_text", sa.Text(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=True),
        sa.Column("rendered_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('held', 'queued', 'submitted', 'rendered', 'reviewing', 'posted', 'failed', 'cancelled', 'rejected')",
            name=op.f("ck_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_key"),
    )
    op.create_index(
        "ix_jobs_claimable",
        "jobs",
        ["guild_id", "user_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND ready"),
        postgresql_where=sa.text("state = 'queued' AND ready"),
    )
    op.create_index(
        "ix_jobs_delayed",
        "jobs",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND NOT ready"),
        postgresql_where=sa.text("state = 'queued' AND NOT ready"),
    )
    op.create_index("ix_jobs_ended_at", "jobs", ["ended_at"], unique=False)
    op.create_index(
        "ix_jobs_unfinished",
        "jobs",
        ["guild_id", "user_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('submitted', 'rendered')"),
        postgresql_where=sa.text("state IN ('submitted', 'rendered')"),
    )
    op.create_table(
        "keys",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "lane_members",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Integer(), nullable=False),
        sa.Column("served_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("waiting >= 0 AND ready >= 0 AND ready <= waiting", name=op.f("ck_lane_members_counts")),
        sa.PrimaryKeyConstraint("guild_id", "user_id"),
    )
    op.create_index(
        "ix_lane_members_next",
        "lane_members",
        ["guild_id", "served_at", "created_at"],
        unique=False,
        sqlite_where=sa.text("ready > 0"),
        postgresql_where=sa.text("ready > 0"),
    )
    op.create_table(
        "lanes",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Integer(), nullable=False),
        sa.Column("served_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("waiting >= 0 AND ready >= 0 AND ready <= waiting", name=op.f("ck_lanes_counts")),
        sa.PrimaryKeyConstraint("guild_id"),
    )
    op.create_index(
        "ix_lanes_next",
        "lanes",
        ["served_at", "created_at"],
        unique=False,
        sqlite_where=sa.text("ready > 0 AND NOT paused"),
        postgresql_where=sa.text("ready > 0 AND NOT paused"),
    )
    op.create_table(
        "ledger",
        sa.Column("job_id", sa.String(length=20), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('reserved', 'charged', 'released', 'possibly_charged')", name=op.f("ck_ledger_state")
        ),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "spending",
        sa.Column("scope", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_spending_amount")),
        sa.PrimaryKeyConstraint("scope", "month"),
    )
    op.create_table(
        "tickets",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.CheckConstraint("state IN ('open', 'taken', 'stored', 'void')", name=op.f("ck_tickets_state")),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_tickets_job", "tickets", ["job_id"], unique=False)
    op.create_table(
        "videos",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.String(length=20), nullable=True),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_videos_message", "videos", ["message_id"], unique=False)
    op.create_index("ix_videos_recent", "videos", ["guild_id", "created_at"], unique=False)


def downgrade() -> None:

    op.drop_index("ix_videos_recent", table_name="videos")
    op.drop_index("ix_videos_message", table_name="videos")
    op.drop_table("videos")
    op.drop_index("ix_tickets_job", table_name="tickets")
    op.drop_table("tickets")
    op.drop_table("spending")
    op.drop_table("ledger")
    op.drop_index(
        "ix_lanes_next",
        table_name="lanes",
        sqlite_where=sa.text("ready > 0 AND NOT paused"),
        postgresql_where=sa.text("ready > 0 AND NOT paused"),
    )
    op.drop_table("lanes")
    op.drop_index(
        "ix_lane_members_next",
        table_name="lane_members",
        sqlite_where=sa.text("ready > 0"),
        postgresql_where=sa.text("ready > 0"),
    )
    op.drop_table("lane_members")
    op.drop_table("keys")
    op.drop_index("ix_jobs_ended_at", table_name="jobs")
    op.drop_index(
        "ix_jobs_unfinished",
        table_name="jobs",
        sqlite_where=sa.text("state IN ('submitted', 'rendered')"),
        postgresql_where=sa.text("state IN ('submitted', 'rendered')"),
    )
    op.drop_index(
        "ix_jobs_delayed",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND NOT ready"),
        postgresql_where=sa.text("state = 'queued' AND NOT ready"),
    )
    op.drop_index(
        "ix_jobs_claimable",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND ready"),
        postgresql_where=sa.text("state = 'queued' AND ready"),
    )
    op.drop_table("jobs")
    op.drop_index("ix_job_files_key", table_name="job_files")
    op.drop_table("job_files")
