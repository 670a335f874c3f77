"""Money: reserved with the job, settled once, and never over the month's budget."""

import asyncio
from collections.abc import Callable

import pytest

from bot.errors import OverBudget
from bot.store import ledger as books
from bot.store.ledger import month_of
from bot.store.records import Job, Settled, State
from bot.store.tables import job_files, jobs, lane_members, lanes, ledger, spending
from tests.bot.store.queues import NOVEMBER, Queue, new_job

MakeQueue = Callable[..., Queue]
MONTH = 31 * 24 * 3600 * 1000


async def spent(queue: Queue) -> int:
    return await queue.database.read(lambda connection: books.spent(connection, now=queue.clock.now))


async def entry(queue: Queue, job: Job) -> tuple[str, int, bool]:
    (row,) = [row for row in await queue.rows(ledger) if row["job_id"] == job.id]
    return row["state"], row["amount"], row["settled_at"] is not None


async def test_a_price_is_reserved_at_acceptance_and_charged_when_rendered(queue: Queue) -> None:
    job = await queue.claimed(price=640_000)
    assert await entry(queue, job) == ("reserved", 640_000, False)
    assert await spent(queue) == 640_000
    await queue.jobs.rendered(job.id, size=1000)
    assert await entry(queue, job) == ("charged", 640_000, True)
    await queue.jobs.fail(job.id, State.RENDERED, reason="undeliverable", text="x", settled=Settled.RELEASED)
    assert await entry(queue, job) == ("charged", 640_000, True), "what was settled stays so"
    assert await spent(queue) == 640_000


@pytest.mark.parametrize(
    ("settled", "left"), [(Settled.RELEASED, 0), (Settled.CHARGED, 100), (Settled.POSSIBLY_CHARGED, 100)]
)
async def test_only_a_release_frees_the_budget(queue: Queue, settled: Settled, left: int) -> None:
    job = await queue.claimed(price=100)
    await queue.jobs.fail(job.id, State.SUBMITTED, reason="x", text="x", settled=settled)
    assert (await entry(queue, job))[0] == settled.value
    assert await spent(queue) == left


async def test_a_cancel_releases_once(queue: Queue) -> None:
    job = await queue.accept(price=100)
    await queue.accept(price=30)
    await asyncio.gather(*(queue.jobs.cancel(job.id) for _ in range(4)))
    assert (await entry(queue, job))[0] == "released"
    assert await spent(queue) == 30


async def test_a_requeued_job_keeps_its_reservation(queue: Queue) -> None:
    job = await queue.claimed(price=100)
    await queue.jobs.requeue(job.id, delay=0)
    assert await entry(queue, job) == ("reserved", 100, False)


@pytest.mark.parametrize("apart", [False, True])
async def test_of_a_hundred_at_the_last_dollar_as_many_pass_as_fit(make_queue: MakeQueue, apart: bool) -> None:
    queues = [make_queue(monthly_limit=1_000_000), make_queue(apart=apart, monthly_limit=1_000_000)]
    work = [queues[user % 2].jobs.accept(new_job(user, price=130_000)) for user in range(100)]
    answers = await asyncio.gather(*work, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {type(error) for error in refused} == {OverBudget}
    assert len(answers) - len(refused) == 7
    assert await spent(queues[0]) == 910_000
    assert len(await queues[0].rows(jobs)) == 7
    await queues[0].accept(price=90_000)
    assert await spent(queues[0]) == 1_000_000


@pytest.mark.parametrize("price", [101, 10**12])
async def test_a_request_over_the_budget_leaves_nothing(make_queue: MakeQueue, price: int) -> None:
    queue = make_queue(monthly_limit=100)
    tables = (jobs, job_files, lanes, lane_members, ledger, spending)
    with pytest.raises(OverBudget, match="nothing was charged"):
        await queue.accept(price=price, files=("images/a.png",))
    assert [await queue.rows(table) for table in tables] == [[]] * len(tables)
    await queue.accept(price=60)
    before = [await queue.rows(table) for table in tables]
    with pytest.raises(OverBudget):
        await queue.accept(price=41, files=("images/a.png",))
    assert [await queue.rows(table) for table in tables] == before


async def test_a_new_month_has_a_budget_of_its_own(make_queue: MakeQueue) -> None:
    queue = make_queue(monthly_limit=100)
    old = await queue.accept(price=100)
    queue.clock.now += MONTH
    assert await spent(queue) == 0
    await queue.accept(price=100)
    with pytest.raises(OverBudget):
        await queue.accept(price=1)
    await queue.jobs.cancel(old.id)  # frees the month in which it was reserved
    with pytest.raises(OverBudget):
        await queue.accept(price=1)
    assert [(row["month"], row["amount"]) for row in await queue.rows(spending)] == [("2026-11", 0), ("2026-12", 100)]


async def test_no_limit_counts_all_the_same(queue: Queue) -> None:
    await queue.accept(price=10**12)
    await queue.accept(price=10**12)
    assert await spent(queue) == 2 * 10**12


def test_months_are_utc() -> None:
    assert month_of(NOVEMBER) == "2026-11"
    assert month_of(1_796_083_199_999) == "2026-11"
    assert month_of(1_796_083_200_000) == "2026-12"
