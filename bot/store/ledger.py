"""Money: reserved when a job is accepted, settled once when it ends. All amounts are whole micro-dollars.

These are steps of somebody else's transaction: a job's state and its money change together or not at all.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from bot.errors import OverBudget
from bot.store.dialect import insert
from bot.store.records import NewJob, Settled
from bot.store.tables import ledger, spending

OPERATOR_SCOPE = 0
MICRO = 1_000_000


def month_of(milliseconds: int) -> str:
    """The budget month of a moment, in UTC: "2026-11"."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m")


def reserve(connection: Connection, job_id: str, new: NewJob, *, now: int, monthly_limit: int) -> None:
    """Reserve a job's price under the operator's monthly budget (0: no limit).

    Raises:
        OverBudget: the price does not fit into what is left of the month.
    """
    month = month_of(now)
    _spend(connection, OPERATOR_SCOPE, month, new.price, monthly_limit)
    connection.execute(
        ledger.insert().values(
            job_id=job_id,
            guild_id=new.guild_id,
            user_id=new.user_id,
            month=month,
            amount=new.price,
            state="reserved",
            created_at=now,
        )
    )


def _spend(connection: Connection, scope: int, month: str, amount: int, limit: int) -> None:
    # One statement checks and adds, so two requests in the same instant cannot both take the last dollar.
    row = insert(connection, spending).values(scope=scope, month=month, amount=amount)
    fits = spending.c.amount + amount <= limit if limit else None
    changed = connection.execute(
        row.on_conflict_do_update(
            index_elements=["scope", "month"], set_={"amount": spending.c.amount + amount}, where=fits
        )
    )
    if changed.rowcount == 0 or (limit and amount > limit):
        raise OverBudget("This month's budget for videos is used up. The bot's operator sets it; nothing was charged.")


def settle(connection: Connection, job_id: str, outcome: Settled, *, now: int) -> bool:
    """Settle a job's reservation; only the first call does anything, and only a release frees the budget."""
    row = (
        connection.execute(
            update(ledger)
            .where(ledger.c.job_id == job_id, ledger.c.state == "reserved")
            .values(state=outcome.value, settled_at=now)
            .returning(ledger.c.month, ledger.c.amount)
        )
    ).one_or_none()
    if row is None:
        return False
    if outcome is Settled.RELEASED:
        connection.execute(
            update(spending)
            .where(spending.c.scope == OPERATOR_SCOPE, spending.c.month == row.month)
            .values(amount=spending.c.amount - row.amount)
        )
    return True


def spent(connection: Connection, *, now: int, scope: int = OPERATOR_SCOPE) -> int:
    """What counts against this month's budget so far, in micro-dollars."""
    found = connection.execute(
        select(spending.c.amount).where(spending.c.scope == scope, spending.c.month == month_of(now))
    )
    return found.scalar_one_or_none() or 0
