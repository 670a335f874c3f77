"""The queue: fair turns, limits, compare-and-set, delays, and the price of a claim."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from bot.config import QueueSettings
from bot.errors import LineFull
from bot.store.jobs import in_turns
from bot.store.records import Job, Settled, State
from bot.store.tables import job_files, jobs, lane_members, lanes, ledger, spending, videos
from tests.bot.store.queues import Queue, new_job

MakeQueue = Callable[..., Queue]
EVERYTHING = (jobs, job_files, lanes, lane_members, ledger, spending)


async def drained(queue: Queue) -> list[Job]:
    found: list[Job] = []
    while (job := await queue.jobs.claim(room=1)) is not None:
        found.append(job)
    return found


async def ended(queue: Queue, job: Job) -> None:
    assert await queue.jobs.fail(job.id, State.SUBMITTED, reason="x", text="x", settled=Settled.RELEASED)


def members(text: str) -> list[tuple[int, str]]:
    return [(ord(name[0]) - 64, name) for name in text.split()]


# --- fair turns


async def test_members_of_a_guild_take_turns(queue: Queue) -> None:
    names = {(await queue.accept(user)).id: name for user, name in members("A1 A2 B1 C1 C2 A3")}
    line = [names[job.id] for job in await queue.jobs.line(1)]
    assert line == ["A1", "B1", "C1", "A2", "C2", "A3"]
    assert [names[job.id] for job in await drained(queue)] == line


async def test_guilds_take_turns_whoever_asks_more(queue: Queue) -> None:
    names = {(await queue.accept(1, guild)).id: name for guild, name in members("A1 A2 A3 A4 B1 C1 B2")}
    assert [names[job.id] for job in await drained(queue)] == ["A1", "B1", "C1", "A2", "B2", "A3", "A4"]


async def test_a_newcomer_is_served_before_who_was_served_already(queue: Queue) -> None:
    for user in (1, 1, 1):
        await queue.accept(user)
    first = await queue.jobs.claim(room=1)
    late = await queue.accept(2)
    assert first is not None
    assert [job.user_id for job in await drained(queue)] == [2, 1, 1]
    assert late.user_id == 2


async def test_a_guild_at_its_limit_holds_up_no_other(make_queue: MakeQueue) -> None:
    queue = make_queue(per_guild_running=1)
    for guild in (1, 1, 2, 3):
        await queue.accept(1, guild)
    running = await drained(queue)
    assert [job.guild_id for job in running] == [1, 2, 3]
    await ended(queue, running[0])
    assert [job.guild_id for job in await drained(queue)] == [1]


async def test_a_member_at_their_limit_holds_up_no_other(make_queue: MakeQueue) -> None:
    queue = make_queue(per_user_running=1)
    for user in (1, 1, 2):
        await queue.accept(user)
    running = await drained(queue)
    assert [job.user_id for job in running] == [1, 2]
    await queue.accept(1, guild=2)
    assert [job.guild_id for job in await drained(queue)] == [2], "limits are of a member in one guild"


async def test_a_rendered_job_still_counts_as_running(make_queue: MakeQueue) -> None:
    queue = make_queue(per_guild_running=1)
    job = await queue.claimed()
    await queue.accept(2)
    await queue.jobs.rendered(job.id, size=1000)
    assert await queue.jobs.claim(room=1) is None
    await queue.jobs.posted(job.id, channel_id=1, message_id=1)
    assert await queue.jobs.claim(room=1) is not None


async def test_no_room_claims_nothing(queue: Queue) -> None:
    await queue.accept()
    assert await queue.jobs.claim(room=0) is None
    assert await queue.jobs.claim(room=-3) is None
    assert await queue.jobs.claim(room=1) is not None


async def test_a_paused_lane_is_passed_over(queue: Queue) -> None:
    await queue.accept(1, guild=1)
    await queue.accept(1, guild=2)
    pause = lanes.update().where(lanes.c.guild_id == 1).values(paused=True)
    await queue.database.write(lambda connection: connection.execute(pause).close())
    assert [job.guild_id for job in await drained(queue)] == [2]


def test_turns_of_nobody() -> None:
    assert in_turns([]) == []


async def test_the_line_is_the_guilds_own(queue: Queue) -> None:
    mine = await queue.accept(1, guild=1)
    await queue.accept(1, guild=2)
    assert [job.id for job in await queue.jobs.line(1)] == [mine.id]


# --- coming in


@pytest.mark.parametrize("given", [{"per_user_waiting": 2}, {"per_guild_waiting": 2}])
async def test_a_full_line_refuses_and_keeps_nothing(make_queue: MakeQueue, given: dict[str, int]) -> None:
    queue = make_queue(**given)
    await queue.accept()
    await queue.accept()
    before = [await queue.rows(table) for table in EVERYTHING]
    with pytest.raises(LineFull, match="2 requests waiting"):
        await queue.accept(files=("images/a.png",))
    assert [await queue.rows(table) for table in EVERYTHING] == before
    assert await queue.jobs.claim(room=1) is not None
    await queue.accept()


async def test_another_members_full_line_is_not_mine(make_queue: MakeQueue) -> None:
    queue = make_queue(per_user_waiting=1)
    await queue.accept(1)
    await queue.accept(2)
    await queue.accept(1, guild=2)
    with pytest.raises(LineFull, match="You have 1"):
        await queue.accept(1)


@pytest.mark.parametrize("apart", [False, True])
async def test_one_form_makes_one_job_however_often_it_is_sent(make_queue: MakeQueue, apart: bool) -> None:
    one, other = make_queue(), make_queue(apart=apart)
    new = new_job(request_key="form", files=("images/a.png", "images/a.png", "images/b.png"))
    answers = await asyncio.gather(*((one, other)[number % 2].jobs.accept(new) for number in range(8)))
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 7
    assert len({answer.job.id for answer in answers}) == 1
    assert len(await one.rows(jobs)) == len(await one.rows(ledger)) == 1
    assert sorted(await one.jobs.files(answers[0].job.id)) == ["images/a.png", "images/b.png"]
    again = await other.jobs.accept(new)
    assert again.duplicate
    assert again.job == answers[0].job


async def test_a_job_is_read_back_as_it_was_accepted(queue: Queue) -> None:
    job = await queue.accept(7, 9, price=5, upload_limit=6, parent_id="parent")
    found = await queue.jobs.get(job.id)
    assert found == job
    assert (job.user_id, job.guild_id, job.channel_id, job.price, job.upload_limit) == (7, 9, 90, 5, 6)
    assert (job.state, job.attempts, job.parent_id) == (State.QUEUED, 0, "parent")
    assert await queue.jobs.get("nothing") is None


async def test_the_card_is_remembered_and_the_job_returned_as_it_is_now(queue: Queue) -> None:
    job = await queue.claimed()
    now = await queue.jobs.set_card(job.id, 55)
    assert now is not None
    assert (now.card_message_id, now.state) == (55, State.SUBMITTED)
    assert await queue.jobs.set_card("nothing", 55) is None


# --- each arrow once


@pytest.mark.parametrize("apart", [False, True])
async def test_of_two_cancels_one_wins(make_queue: MakeQueue, apart: bool) -> None:
    one, other = make_queue(), make_queue(apart=apart)
    job = await one.accept()
    won = [found for found in await asyncio.gather(*(queue.jobs.cancel(job.id) for queue in (one, other))) if found]
    assert [found.state for found in won] == [State.CANCELLED]
    assert [(row["waiting"], row["ready"]) for row in await one.rows(lanes)] == [(0, 0)]


@pytest.mark.parametrize("apart", [False, True])
async def test_many_claims_at_once_take_each_job_once(make_queue: MakeQueue, apart: bool) -> None:
    one, other = make_queue(), make_queue(apart=apart)
    made = {(await one.accept(user)).id for user in (1, 1, 2, 3)}
    claims = await asyncio.gather(*((one, other)[number % 2].jobs.claim(room=1) for number in range(8)))
    taken = [job.id for job in claims if job]
    assert len(taken) == 4
    assert set(taken) == made


@pytest.mark.parametrize("apart", [False, True])
async def test_of_two_that_post_one_wins(make_queue: MakeQueue, apart: bool) -> None:
    one, other = make_queue(), make_queue(apart=apart)
    job = await one.claimed()
    rendered = await asyncio.gather(*(queue.jobs.rendered(job.id, size=1000) for queue in (one, other)))
    assert sum(found is not None for found in rendered) == 1
    work = [queue.jobs.posted(job.id, channel_id=4, message_id=message) for message, queue in ((1, one), (2, other))]
    posted = await asyncio.gather(*work)
    (winner,) = [found for found in posted if found]
    assert winner.state is State.POSTED
    (row,) = await one.rows(videos)
    assert (row["message_id"], row["channel_id"]) == (winner.message_id, 4)


async def test_a_cancel_and_a_claim_at_once_never_both_win(make_queue: MakeQueue) -> None:
    one, other = make_queue(), make_queue(apart=True)
    for _ in range(10):
        job = await one.accept()
        claimed, cancelled = await asyncio.gather(one.jobs.claim(room=1), other.jobs.cancel(job.id))
        assert (claimed is None) != (cancelled is None)


async def test_arrows_that_do_not_exist_change_nothing(queue: Queue) -> None:
    job = await queue.accept()
    assert await queue.jobs.rendered(job.id, size=1000) is None
    assert await queue.jobs.posted(job.id, channel_id=1, message_id=1) is None
    assert await queue.jobs.requeue(job.id, delay=0) is None
    assert await queue.jobs.fail(job.id, State.SUBMITTED, reason="x", text="x", settled=Settled.RELEASED) is None
    assert await queue.jobs.get(job.id) == job
    assert [row["state"] for row in await queue.rows(ledger)] == ["reserved"]
    assert await queue.rows(videos) == []
    running = await queue.jobs.claim(room=1)
    assert running is not None
    assert await queue.jobs.cancel(job.id) is None
    assert await queue.jobs.posted(job.id, channel_id=1, message_id=1) is None
    assert await queue.jobs.get(job.id) == running


async def test_times_and_attempts_are_written_down(queue: Queue) -> None:
    job = await queue.claimed()
    assert job.submitted_at is not None
    assert (job.attempts, job.created_at < job.submitted_at) == (1, True)
    await queue.jobs.requeue(job.id, delay=0)
    await queue.jobs.wake_delayed()
    job = await queue.jobs.claim(room=1)
    assert job is not None
    assert job.attempts == 2
    both = await queue.jobs.rendered(job.id, size=1000)
    assert both is not None
    rendered, video = both
    assert (video.id, video.key, video.seconds, video.size) == (job.id, job.video_key, 8, 1000)
    assert not video.measured
    assert rendered.rendered_at is not None
    posted = await queue.jobs.posted(job.id, channel_id=1, message_id=3)
    assert posted is not None
    assert posted.ended_at is not None
    assert posted.ended_at > rendered.rendered_at > job.created_at
    assert posted.message_id == 3


async def test_a_failure_keeps_its_reason(queue: Queue) -> None:
    job = await queue.claimed()
    failed = await queue.jobs.fail(
        job.id, State.SUBMITTED, reason="outcome unknown", text="Sorry.", settled=Settled.POSSIBLY_CHARGED
    )
    assert failed is not None
    assert (failed.state, failed.reason, failed.reason_text) == (State.FAILED, "outcome unknown", "Sorry.")
    assert failed.ended_at


async def test_the_unfinished_are_the_submitted_and_the_rendered(queue: Queue) -> None:
    submitted, rendered, posted = [await queue.claimed() for _ in range(3)]
    for job in (rendered, posted):
        await queue.jobs.rendered(job.id, size=1000)
    await queue.jobs.posted(posted.id, channel_id=1, message_id=1)
    await queue.accept()
    found = {job.id: job.state for job in await queue.jobs.unfinished()}
    assert found == {submitted.id: State.SUBMITTED, rendered.id: State.RENDERED}


# --- delays


async def test_a_delayed_job_waits_until_its_time(queue: Queue) -> None:
    job = await queue.claimed()
    assert await queue.jobs.wake_delayed() is None
    assert await queue.jobs.requeue(job.id, delay=2.5)
    assert await queue.jobs.claim(room=1) is None
    left = await queue.jobs.wake_delayed()
    assert left == pytest.approx(2.5, abs=0.01)
    queue.clock.now += 2400
    assert await queue.jobs.wake_delayed() == pytest.approx(0.1, abs=0.01)
    assert await queue.jobs.claim(room=1) is None
    queue.clock.now += 100
    assert await queue.jobs.wake_delayed() == 0
    again = await queue.jobs.claim(room=1)
    assert again is not None
    assert again.id == job.id
    assert await queue.jobs.wake_delayed() is None


async def test_a_delayed_job_is_in_line_can_be_cancelled_and_holds_up_nobody(queue: Queue) -> None:
    job = await queue.claimed(1)
    await queue.jobs.requeue(job.id, delay=100)
    other = await queue.accept(2)
    assert {waiting.id for waiting in await queue.jobs.line(1)} == {job.id, other.id}
    claimed = await queue.jobs.claim(room=1)
    assert claimed is not None
    assert claimed.id == other.id
    assert await queue.jobs.cancel(job.id) is not None
    assert [(row["waiting"], row["ready"]) for row in await queue.rows(lanes)] == [(0, 0)]
    assert await queue.jobs.wake_delayed() is None


# --- files


async def test_files_belong_to_the_jobs_that_need_them(queue: Queue) -> None:
    one = await queue.accept(files=("images/a.png", "images/b.png"))
    two = await queue.accept(files=("images/b.png",))
    assert await queue.jobs.needed_files(["images/a.png", "images/b.png", "images/c.png"]) == {
        "images/a.png",
        "images/b.png",
    }
    assert sorted(await queue.jobs.drop_files(one.id)) == ["images/a.png", "images/b.png"]
    assert await queue.jobs.drop_files(one.id) == []
    assert await queue.jobs.needed_files(["images/a.png", "images/b.png"]) == {"images/b.png"}
    assert await queue.jobs.files(two.id) == ["images/b.png"]


# --- what a claim costs


def plans(path: Path) -> Callable[[], list[str]]:
    """Record every statement from here on; the function returned gives SQLite's plan of each."""
    said: list[tuple[str, tuple[object, ...]]] = []

    def record(_c: object, _cursor: object, statement: str, parameters: tuple[object, ...], *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            said.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)

    def explain() -> list[str]:
        event.remove(Engine, "before_cursor_execute", record)
        with closing(sqlite3.connect(path)) as connection:
            rows = [connection.execute(f"EXPLAIN QUERY PLAN {sql}", given).fetchall() for sql, given in said]
        return [row[3] for found in rows for row in found]

    return explain


async def test_a_claim_walks_short_indexes_and_sorts_nothing(queue: Queue, tmp_path: Path) -> None:
    await queue.accept()
    explain = plans(tmp_path / "cinecord.db")
    assert await queue.jobs.claim(room=1) is not None
    steps = explain()
    assert not [step for step in steps if "TEMP B-TREE" in step]
    # The lanes that can be served now are walked from their index's beginning; nothing else is walked at all.
    assert {step for step in steps if step.startswith("SCAN")} == {"SCAN lanes USING INDEX ix_lanes_next"}
    used = " ".join(steps)
    for index in ("ix_jobs_claimable (guild_id=? AND user_id=?)", "ix_lane_members_next (guild_id=?)"):
        assert index in used
    assert "of_lane USING INDEX ix_jobs_unfinished (guild_id=?)" in used
    assert "of_member USING INDEX ix_jobs_unfinished (guild_id=? AND user_id=?)" in used


async def test_looking_for_the_delayed_reads_their_index_only(queue: Queue, tmp_path: Path) -> None:
    job = await queue.claimed()
    await queue.jobs.requeue(job.id, delay=0)
    explain = plans(tmp_path / "cinecord.db")
    await queue.jobs.wake_delayed()
    steps = [step for step in explain() if " jobs" in step]
    assert steps
    assert all("ix_jobs_delayed" in step for step in steps), steps


async def test_a_claim_takes_as_many_steps_with_much_waiting_as_with_little(queue: Queue) -> None:
    """Counted in instructions of SQLite's machine, not in time."""

    async def cost(users: int) -> int:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        for user in range(users):
            await queue.accept(user % 50, guild=user % 5)

        def work(connection: Connection) -> None:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.set_progress_handler(count, 10)
            guild = connection.execute(queue.jobs._next_lane).scalar_one()
            connection.execute(queue.jobs._next_job, {"guild": guild})
            raw.set_progress_handler(None, 0)

        await queue.database.read(work)
        return steps

    assert await cost(250) <= 2 * await cost(10) + 10


def test_the_defaults_let_one_member_run_one() -> None:
    assert QueueSettings().per_user_running == 1


async def test_a_clock_that_was_ahead_starves_nobody(make_queue: Callable[..., Queue]) -> None:
    ahead = make_queue()
    ahead.clock.now += 24 * 3600 * 1000
    await ahead.claimed(1, guild=1)
    queue = make_queue()  # a new process, after the clock was set right
    for turn in range(3):
        for guild in (1, 2):
            await queue.accept(turn, guild=guild)
    served = []
    while (job := await queue.jobs.claim(room=1)) is not None:
        served.append(job.guild_id)
    assert served == [2, 1, 2, 1, 2, 1]


async def test_a_full_line_is_told_before_any_work(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(per_user_waiting=2, per_guild_waiting=3)
    await queue.jobs.check_room(1, 1)
    for user in (1, 1, 2):
        await queue.accept(user)
    with pytest.raises(LineFull, match="You have 2"):
        await queue.jobs.check_room(1, 1)
    with pytest.raises(LineFull, match="This server has 3"):
        await queue.jobs.check_room(1, 3)
    await queue.jobs.check_room(2, 1)


async def test_whether_work_is_left_is_known_after_a_claim(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(per_user_running=1)
    await queue.accept(1)
    await queue.accept(1)
    assert await queue.jobs.claim(room=1) is not None
    assert queue.jobs.work_left
    assert await queue.jobs.claim(room=1) is None
    assert queue.jobs.work_left
    first = (await queue.jobs.unfinished())[0]
    await queue.jobs.fail(first.id, State.SUBMITTED, reason="x", text="x", settled=Settled.RELEASED)
    assert await queue.jobs.claim(room=1) is not None
    assert not queue.jobs.work_left
