"""Money: reserved when a job is accepted, settled once when it ends. All amounts are whole micro-dollars.

These are steps of somebody else's transaction: a job's state and its money change together or not at all.
"""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Connection, bindparam, select, update

from bot.errors import OverBudget
from bot.store.dialect import Upsert
from bot.store.records import NewJob, Settled
from bot.store.tables import ledger, spending

OPERATOR_SCOPE = 0
MICRO = 1_000_000
_NO_LIMIT = 2**62

_SPEND = Upsert(
    spending,
    ("scope", "month", "amount"),
    key=("scope", "month"),
    change={"amount": spending.c.amount + bindparam("amount")},
    where=spending.c.amount <= bindparam("most", type_=BigInteger),
)
_RESERVE = ledger.insert()
_SETTLE = (
    update(ledger)
    .where(ledger.c.job_id == bindparam("job"), ledger.c.state == "reserved")
    .values(state=bindparam("outcome"), settled_at=bindparam("now"))
    .returning(ledger.c.month, ledger.c.amount)
)
_FREE = (
    update(spending)
    .where(spending.c.scope == bindparam("scope_"), spending.c.month == bindparam("month_"))
    .values(amount=spending.c.amount - bindparam("less"))
)


def month_of(milliseconds: int) -> str:
    """The budget month of a moment, in UTC: "2026-11"."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m")


def reserve(connection: Connection, job_id: str, new: NewJob, *, now: int, monthly_limit: int) -> None:
    """Reserve a job's price under the operator's monthly budget (0: no limit).

    Raises:
        OverBudget: the price does not fit into what is left of the month.
    """
    month = month_of(now)
    limit = monthly_limit or _NO_LIMIT
    # One statement checks and adds, so two requests in the same instant cannot both take the last dollar.
    added = {"scope": OPERATOR_SCOPE, "month": month, "amount": new.price, "most": limit - new.price}
    if new.price > limit or not _SPEND.run(connection, added):
        raise OverBudget("This month's budget for videos is used up. The bot's operator sets it; nothing was charged.")
    row = {"job_id": job_id, "guild_id": new.guild_id, "user_id": new.user_id, "month": month}
    connection.execute(_RESERVE, {**row, "amount": new.price, "state": "reserved", "created_at": now})


def settle(connection: Connection, job_id: str, outcome: Settled, *, now: int) -> bool:
    """Settle a job's reservation; only the first call does anything, and only a release frees the budget."""
    given = {"job": job_id, "outcome": outcome.value, "now": now}
    row = connection.execute(_SETTLE, given).one_or_none()
    if row is None:
        return False
    if outcome is Settled.RELEASED:
        connection.execute(_FREE, {"scope_": OPERATOR_SCOPE, "month_": row.month, "less": row.amount})
    return True


def spent(connection: Connection, *, now: int, scope: int = OPERATOR_SCOPE) -> int:
    """What counts against this month's budget so far, in micro-dollars."""
    query = select(spending.c.amount).where(spending.c.scope == scope, spending.c.month == month_of(now))
    return connection.execute(query).scalar_one_or_none() or 0
