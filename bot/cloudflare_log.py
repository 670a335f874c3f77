"""Finding a paid call again in the gateway's own log, by the job id in its metadata.

The API's filter is a help and no proof: entries are compared here, and a filter that is refused is left out.
Facts: Cloudflare's API reference, "List Gateway Logs", 2026-10 (`metadata` is JSON text, `created_at` is ISO 8601).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from bot.cloudflare_errors import as_object, parse_json
from bot.errors import CinecordError

PAGE_SIZE = 50
PAGES = 10
CLOCK_SKEW_SECONDS = 300.0
"""How far Cloudflare's clock and ours may differ when deciding that older pages cannot hold the entry."""

Row = Mapping[str, object]
FetchPage = Callable[[int, bool], Awaitable[Sequence[Row] | None]]
"""Page number (from 1) and whether to filter, to entries newest first; None when the filter was refused."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The gateway's own record of a call. `cost` is in US dollars, `created_at` in seconds since the epoch."""

    id: str
    success: bool
    status_code: int | None
    cost: Decimal | None
    created_at: float


class LookupFailed(CinecordError):
    """The gateway's log could not be read, so nothing is known from it."""

    def __init__(self, cause: str) -> None:
        super().__init__("It is not known yet whether the video was made.", cause=f"gateway log: {cause}")


async def find_entry(fetch: FetchPage, job_id: str, *, since: float, attempt: int) -> LogEntry | None:
    """The entry of this job: a success whenever it was, a failure only of this attempt (sent at `since`, epoch s).

    Raises LookupFailed when the pages end before `since` and without the entry.
    """
    failure: LogEntry | None = None
    filtered = True
    for page in range(1, PAGES + 1):
        rows = await fetch(page, filtered)
        if rows is None:
            filtered = False
            rows = await fetch(page, filtered) or []
        for row in rows:
            metadata = _metadata(row)
            entry = _log_entry(row) if metadata.get("job") == job_id else None
            if entry is None:
                continue
            if entry.success:
                return entry
            # Told by its number, not by the time: an earlier attempt's refusal says nothing about this one's money.
            if metadata.get("attempt") == attempt and failure is None:
                failure = entry
        if len(rows) < PAGE_SIZE or _oldest(rows) < since - CLOCK_SKEW_SECONDS:
            return failure
    if failure is None:
        raise LookupFailed(f"job {job_id} is not among the newest {PAGES * PAGE_SIZE} entries")
    return failure


def _oldest(rows: Sequence[Row]) -> float:
    return min((created for created in map(_created_at, rows) if created is not None), default=float("inf"))


def _metadata(row: Mapping[str, object]) -> Mapping[str, object]:
    metadata = row.get("metadata")
    return as_object(parse_json(metadata.encode()) if isinstance(metadata, str) else metadata) or {}


def _created_at(row: Mapping[str, object]) -> float | None:
    try:
        created = datetime.fromisoformat(str(row.get("created_at")))
    except ValueError:
        return None
    return (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()


def _log_entry(row: Mapping[str, object]) -> LogEntry | None:
    created, status, cost = _created_at(row), row.get("status_code"), row.get("cost")
    if created is None:
        return None
    return LogEntry(
        id=str(row.get("id", "")),
        success=row.get("success") is True,
        status_code=status if isinstance(status, int) else None,
        cost=Decimal(cost) if isinstance(cost, int | Decimal) else None,
        created_at=created,
    )
