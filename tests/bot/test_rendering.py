"""From a claimed job to a video in storage, with the sandbox as the model: one POST a claim, whatever goes wrong."""

import asyncio
import base64
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot import rendering
from bot.cloudflare import LogEntry
from bot.model import Operation, Request, SourceVideo
from bot.rendering import ATTEMPTS, Outcome
from bot.services import Services
from bot.storage import FolderStorage
from bot.store.database import StoreError
from bot.store.records import Job, NewJob, Settled, State
from sandbox.cloudflare import Call, CloudflareSandbox, Fault
from tests.bot.parts import MakeSettings, clip, files_in, for_model, opened, png, stored_rows, until

NO_CALL = 0
RELEASED = {
    Fault.BAD_INPUT: "input refused",
    Fault.UPLOAD_URL_MISSING: "upload url required",
    Fault.CREDENTIALS: "credentials refused",
    Fault.NO_CREDITS: "out of credits",
    Fault.FORBIDDEN: "credentials refused",
    Fault.ACCOUNT_BLOCKED: "credentials refused",
    Fault.ACCOUNT_BLOCKED_3041: "credentials refused",
    Fault.ACCOUNT_BLOCKED_5018: "credentials refused",
    Fault.NO_SUCH_MODEL: "no such model",
    Fault.NO_SUCH_MODEL_400: "no such model",
    Fault.TOO_LARGE: "too large",
    Fault.AI_GATEWAY_ERROR: "out of credits",
}
MAYBE = {
    Fault.MODERATED: "moderated",
    Fault.MODERATED_424: "moderated",
    Fault.MODERATED_424_2017: "moderated",
    Fault.FAILED_STATE: "render failed",
    Fault.TIMEOUT: "outcome unknown",
    Fault.ABORTED: "outcome unknown",
    Fault.INTERNAL: "outcome unknown",
    Fault.BAD_GATEWAY: "outcome unknown",
    Fault.GATEWAY_TIMEOUT: "outcome unknown",
    Fault.CF_524: "outcome unknown",
    Fault.CONNECTION_LOST: "outcome unknown",
    Fault.UPLOAD_MISSING: "outcome unknown",
}
LATER = (
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_RETRY_AFTER,
    Fault.OUT_OF_CAPACITY,
    Fault.QUOTA,
    Fault.SPEND_LIMIT,
    Fault.UNAVAILABLE,
)
ARRIVES = (
    Fault.CONNECTION_LOST_AFTER_RENDER,
    Fault.GARBAGE_JSON,
    Fault.EMPTY_BODY,
    Fault.TRUNCATED_BODY,
    Fault.SLOW_UPLOAD,
)


@dataclass
class Clock:
    """Unix seconds that go by, and can be turned on."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Bot:
    services: Services
    model: CloudflareSandbox
    clock: Clock

    async def render(self, job: Job) -> Job | None:
        outcome = await self.services.renderer.render(job)
        if outcome is not None and outcome.job.state is State.SUBMITTED:
            return await self.recover(outcome.job)  # as the dispatcher does
        return self._job(outcome)

    async def recover(self, job: Job) -> Job | None:
        return self._job(await self.services.renderer.recover(job))

    def _job(self, outcome: Outcome | None) -> Job | None:
        assert outcome is None or (outcome.video is not None) == (outcome.job.state is State.RENDERED)
        return outcome.job if outcome else None

    async def claimed(self, request: Request | None = None, user: int = 7, **given: Any) -> Job:
        chosen = request or Request(operation=Operation.GENERATE, prompt="a fox", duration=1)
        new = NewJob(
            guild_id=1,
            channel_id=2,
            user_id=user,
            request=chosen,
            request_key=str(time.perf_counter_ns()),
            price=80_000,
            upload_limit=1 << 20,
        )
        await self.services.jobs.accept(replace(new, **given))
        return await self.claim()

    async def claim(self) -> Job:
        job = await self.services.jobs.claim(room=1)
        assert job is not None
        return job

    async def keep(self, key: str, content: bytes) -> str:
        storage = self.services.storage
        assert isinstance(storage, FolderStorage)
        path = await storage.new_temporary()
        path.write_bytes(content)
        await storage.save(key, path)
        return key

    def money(self, job: Job | None) -> str:
        assert job is not None
        (state,) = stored_rows(self.services.settings, "SELECT state FROM ledger WHERE job_id = ?", job.id)
        return state


StartBot = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("POLL_SECONDS", 0.02), ("LOOKUP_SECONDS", 0.1), ("UPLOAD_GRACE", 0.2)):
        monkeypatch.setattr(rendering, name, seconds)
    monkeypatch.setattr(rendering, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def start(make_settings: MakeSettings, model: CloudflareSandbox) -> StartBot:
    @asynccontextmanager
    async def begin(*, timeout_seconds: float = 30.0, public: bool = True) -> AsyncIterator[Bot]:
        settings = make_settings(cloudflare=for_model(model, timeout_seconds=timeout_seconds))
        clock = Clock()
        async with opened(settings, public=public, clock=clock) as services:
            yield Bot(services, model, clock)
            assert files_in(settings.storage.path / "tmp") == [], "nothing half-made is left"

    return begin


# --- the straight way


async def test_the_model_uploads_to_a_ticket_and_the_job_is_rendered(start: StartBot) -> None:
    async with start() as bot:
        picture = await bot.keep("images/abc.png", png())
        request = Request(operation=Operation.GENERATE, prompt="a fox", duration=2, image=picture)
        job = await bot.claimed(request)
        done = await bot.render(job)
        assert done is not None
        assert (done.state, done.id, bot.money(done)) == (State.RENDERED, job.id, "charged")
        (call,) = bot.model.calls
        assert call.metadata == {"job": job.id, "guild": "1", "attempt": 1}
        assert call.input["image"]["url"].startswith(f"{bot.services.web.url}/media/images/abc.png?")
        assert call.input["output"]["upload_url"].startswith(f"{bot.services.web.url}/tickets/")
        video = await bot.services.videos.get(job.id, guild_id=1)
        assert video is not None
        assert video.seconds == pytest.approx(2, abs=0.1)
        assert (video.prompt, video.user_id, video.message_id, video.key) == ("a fox", 7, None, f"videos/{job.id}.mp4")
        known = await bot.services.library.measured(video)
        assert min(known.width, known.height) > 0
        assert known == await bot.services.videos.get(job.id, guild_id=1)
        assert await bot.services.storage.size(video.key) == video.size > 0
        assert stored_rows(bot.services.settings, "SELECT state FROM tickets") == ["stored"]


async def test_the_model_learns_a_stable_end_user_and_not_who_it_is(start: StartBot) -> None:
    async with start() as bot:
        for user in (424242, 424242, 5):
            bot.model.fail_next(Fault.BAD_INPUT)
            await bot.render(await bot.claimed(user=user))
        names = [call.input["user"] for call in bot.model.calls]
        assert names[0] == names[1] != names[2]
        assert "424242" not in str([(call.input, call.headers) for call in bot.model.calls])


async def test_without_a_public_url_media_go_inside_and_the_answer_is_downloaded(start: StartBot) -> None:
    async with start(public=False) as bot:
        bot.model.zero_data_retention = False
        request = Request(operation=Operation.GENERATE, prompt="a fox", duration=1, image="images/abc.png")
        await bot.keep("images/abc.png", png())
        done = await bot.render(await bot.claimed(request))
        assert done is not None
        assert (done.state, bot.money(done)) == (State.RENDERED, "charged")
        (call,) = bot.model.calls
        assert call.input["image"]["url"] == f"data:image/png;base64,{base64.b64encode(png()).decode()}"
        assert "output" not in call.input
        assert await bot.services.storage.size(done.video_key)


async def test_an_edit_sends_its_source_and_keeps_its_parent(start: StartBot, tmp_path: Path) -> None:
    async with start() as bot:
        content = clip(tmp_path)
        key = await bot.keep("videos/parent.mp4", content)
        source = SourceVideo(key=key, seconds=2.0, width=64, height=48, size=len(content))
        request = Request(operation=Operation.EDIT, prompt="redder", video=source)
        done = await bot.render(await bot.claimed(request, parent_id="parent"))
        assert done is not None
        assert done.state is State.RENDERED
        video = await bot.services.videos.get(done.id, guild_id=1)
        assert video is not None
        assert (video.parent_id, video.operation) == ("parent", Operation.EDIT)
        assert "/media/videos/parent.mp4?" in bot.model.calls[0].input["video"]["url"]


# --- before the call


@pytest.mark.parametrize("public", [True, False])
async def test_a_source_that_is_gone_costs_nothing(start: StartBot, public: bool) -> None:
    async with start(public=public) as bot:
        request = Request(operation=Operation.GENERATE, prompt="x", reference_images=("images/gone.png",))
        done = await bot.render(await bot.claimed(request))
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, "preparation failed", "released")
        assert len(bot.model.calls) == NO_CALL


async def test_media_too_large_to_send_inside_cost_nothing(start: StartBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "DATA_URL_BYTES", len(png()) - 1)
    async with start(public=False) as bot:
        await bot.keep("images/abc.png", png())
        request = Request(operation=Operation.GENERATE, prompt="x", image="images/abc.png")
        done = await bot.render(await bot.claimed(request))
        assert done is not None
        assert (done.state, bot.money(done), len(bot.model.calls)) == (State.FAILED, "released", NO_CALL)


# --- every answer of the error table


@pytest.mark.parametrize(("fault", "reason"), RELEASED.items())
async def test_a_refusal_that_was_not_charged_releases_the_money(start: StartBot, fault: Fault, reason: str) -> None:
    async with start() as bot:
        bot.model.fail_next(fault)
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, reason, "released")
        assert "othing was charged" in (done.reason_text or "")
        assert len(bot.model.calls) == 1
        assert bot.model.charged_usd == 0


@pytest.mark.parametrize(("fault", "reason"), MAYBE.items())
async def test_what_may_have_been_charged_stays_reserved(start: StartBot, fault: Fault, reason: str) -> None:
    async with start(timeout_seconds=1.2 if fault is Fault.UPLOAD_MISSING else 0.4) as bot:
        bot.model.fail_next(fault)
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, reason, "possibly_charged")
        assert "may have been charged" in (done.reason_text or "")
        assert len(bot.model.calls) == 1


@pytest.mark.parametrize("fault", LATER)
async def test_try_later_goes_back_in_line_with_its_money(start: StartBot, fault: Fault) -> None:
    async with start() as bot:
        bot.model.fail_next(fault)
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, bot.money(done)) == (State.QUEUED, "reserved")
        assert len(bot.model.calls) == 1
        left = await bot.services.jobs.wake_delayed()
        assert left is not None
        assert left > 0


@pytest.mark.parametrize("fault", ARRIVES)
async def test_a_video_that_arrives_is_kept_whatever_the_answer_was(start: StartBot, fault: Fault) -> None:
    async with start() as bot:
        bot.model.slow_upload_seconds = 0.2
        bot.model.fail_next(fault)
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, bot.money(done)) == (State.RENDERED, "charged")
        assert len(bot.model.calls) == len(bot.model.ledger) == 1


def test_every_fault_is_tested() -> None:
    assert {*RELEASED, *MAYBE, *LATER, *ARRIVES} == set(Fault)


async def test_a_request_that_the_model_has_no_place_for_names_the_operators_part(start: StartBot) -> None:
    async with start(public=False) as bot:
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.reason, bot.money(done)) == ("upload url required", "released")


# --- again, later


async def test_delays_double_and_after_six_repeats_it_is_over(start: StartBot) -> None:
    async with start() as bot:
        bot.services.renderer._jitter = lambda: 0.5
        bot.model.fail_next(Fault.RATE_LIMITED, times=20)
        job = await bot.claimed()
        delays: list[float] = []
        for _ in range(ATTEMPTS):
            again = await bot.render(job)
            assert again is not None
            assert again.state is State.QUEUED
            left = await bot.services.jobs.wake_delayed()
            assert left is not None
            delays.append(left)
            assert await bot.services.jobs.claim(room=1) is None
            bot.clock.ahead += left + 1
            await bot.services.jobs.wake_delayed()
            job = await bot.claim()
        assert delays == pytest.approx([5, 10, 20, 40, 80, 160], abs=1)
        done = await bot.render(job)
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, "try later", "released")
        assert (len(bot.model.calls), job.attempts, ATTEMPTS) == (7, 7, 6)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 2.5), (0.999, 7.5)])
async def test_jitter_spreads_the_delay(start: StartBot, jitter: float, seconds: float) -> None:
    async with start() as bot:
        bot.services.renderer._jitter = lambda: jitter
        bot.model.fail_next(Fault.OUT_OF_CAPACITY)
        await bot.render(await bot.claimed())
        assert await bot.services.jobs.wake_delayed() == pytest.approx(seconds, abs=0.8)


@pytest.mark.parametrize(("said", "seconds"), [(70, 70), (7200, 3600)])
async def test_the_models_retry_after_is_followed_up_to_an_hour(start: StartBot, said: float, seconds: float) -> None:
    async with start() as bot:
        bot.model.fail_next(Fault.RATE_LIMITED, retry_after=said)
        await bot.render(await bot.claimed())
        assert await bot.services.jobs.wake_delayed() == pytest.approx(seconds, abs=1)


async def test_a_service_that_cannot_be_reached_is_tried_later(start: StartBot) -> None:
    async with start() as bot, bot.model.outage():
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, bot.money(done), len(bot.model.calls)) == (State.QUEUED, "reserved", NO_CALL)


# --- a video without an answer


async def test_a_connection_that_breaks_while_it_renders_loses_nothing(start: StartBot) -> None:
    async with start() as bot:
        bot.model.hold("upload")
        job = await bot.claimed()
        rendering_it = asyncio.create_task(bot.render(job))
        await bot.model.wait_for(lambda: bot.model.calls and bot.model.calls[0].rendered)
        async with bot.model.outage():
            await asyncio.sleep(0.05)
            assert not rendering_it.done()
            bot.model.release()
            done = await asyncio.wait_for(rendering_it, 10)
        assert done is not None
        assert (done.state, bot.money(done)) == (State.RENDERED, "charged")
        assert len(bot.model.calls) == len(bot.model.ledger) == 1


async def test_a_cancelled_call_is_taken_up_again_without_a_second_one(start: StartBot) -> None:
    async with start() as bot:
        bot.model.hold("upload")
        job = await bot.claimed()
        task = asyncio.create_task(bot.render(job))
        await bot.model.wait_for(lambda: bot.model.calls and bot.model.calls[0].rendered)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (left,) = await bot.services.jobs.unfinished()
        assert left.state is State.SUBMITTED
        recovering = asyncio.create_task(bot.recover(left))
        bot.model.release()
        done = await asyncio.wait_for(recovering, 10)
        assert done is not None
        assert done.state is State.RENDERED
        assert len(bot.model.calls) == len(bot.model.ledger) == 1


async def test_recovery_wakes_at_the_upload(start: StartBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rendering, "POLL_SECONDS", 60.0)
    monkeypatch.setattr(rendering, "LOOKUP_SECONDS", 60.0)
    async with start(timeout_seconds=100) as bot, httpx.AsyncClient() as http:
        job = await bot.claimed()
        url = await bot.services.storage.upload_url(job.video_key, job_id=job.id, seconds=60, max_bytes=1 << 20)
        assert url is not None
        recovering = asyncio.create_task(bot.recover(job))
        await until(lambda: bot.services.renderer._arrivals._futures)
        assert (await http.put(url, content=clip(tmp_path))).status_code == 201
        done = await asyncio.wait_for(recovering, 20)
        assert done is not None
        assert (done.state, len(bot.model.calls)) == (State.RENDERED, NO_CALL)


async def test_recovery_finds_a_video_long_after_the_timeout(start: StartBot, tmp_path: Path) -> None:
    async with start() as bot:
        job = await bot.claimed()
        await bot.keep(job.video_key, clip(tmp_path))
        bot.clock.ahead = 24 * 3600
        done = await bot.recover(job)
        assert done is not None
        assert (done.state, bot.money(done), len(bot.model.calls)) == (State.RENDERED, "charged", NO_CALL)


async def test_recovery_gives_up_at_the_timeout_and_not_before(start: StartBot) -> None:
    async with start(timeout_seconds=60) as bot:
        job = await bot.claimed()
        recovering = asyncio.create_task(bot.recover(job))
        await asyncio.sleep(0.15)
        assert not recovering.done()
        bot.clock.ahead = 60
        done = await asyncio.wait_for(recovering, 10)
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, "outcome unknown", "possibly_charged")
        assert len(bot.model.calls) == NO_CALL


def logged(model: CloudflareSandbox, job: Job, *, status: int, success: bool = False) -> None:
    call = Call(number=1, at=time.time(), headers={}, metadata={"job": job.id, "guild": "1", "attempt": job.attempts})
    model.write_log(call, success=success, status=status)


@pytest.mark.parametrize("ahead", [0.0, 24 * 3600.0])
@pytest.mark.parametrize("status", [400, 429])
async def test_a_log_that_proves_a_refusal_frees_the_money(start: StartBot, status: int, ahead: float) -> None:
    async with start(timeout_seconds=60) as bot:
        job = await bot.claimed()
        logged(bot.model, job, status=status)
        bot.clock.ahead = ahead
        done = await asyncio.wait_for(bot.recover(job), 10)
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, "refused", "released")
        assert "Nothing was charged" in (done.reason_text or "")


@pytest.mark.parametrize(("status", "success"), [(500, False), (422, False), (200, True), (499, False)])
async def test_a_log_that_proves_nothing_frees_nothing(start: StartBot, status: int, success: bool) -> None:
    async with start(timeout_seconds=0.3) as bot:
        job = await bot.claimed()
        logged(bot.model, job, status=status, success=success)
        done = await asyncio.wait_for(bot.recover(job), 10)
        assert done is not None
        assert (done.reason, bot.money(done)) == ("outcome unknown", "possibly_charged")


@pytest.mark.parametrize(
    ("cost", "status", "success", "proof"),
    [(None, 429, False, True), (Decimal(0), 403, False, True), (Decimal("0.1"), 429, False, False),
     (None, None, False, False), (None, 429, True, False), (None, 408, False, False), (None, 424, False, False)],
)  # fmt: skip
def test_what_a_log_entry_proves(cost: Decimal | None, status: int | None, success: bool, proof: bool) -> None:
    entry = LogEntry(id="1", success=success, status_code=status, cost=cost, created_at=0.0)
    assert rendering._proves_not_charged(entry) is proof


async def test_without_a_readable_log_the_search_goes_on(start: StartBot, tmp_path: Path) -> None:
    async with start(timeout_seconds=60) as bot, bot.model.outage():
        job = await bot.claimed()
        recovering = asyncio.create_task(bot.recover(job))
        await asyncio.sleep(0.2)
        assert not recovering.done()
        await bot.keep(job.video_key, clip(tmp_path))
        done = await asyncio.wait_for(recovering, 10)
        assert done is not None
        assert done.state is State.RENDERED


async def test_an_outage_of_the_storage_is_no_news_of_the_video(start: StartBot, tmp_path: Path) -> None:
    async with start(timeout_seconds=60) as bot:
        videos = bot.services.settings.storage.path / "videos"
        videos.symlink_to("videos")  # a loop: every look fails
        job = await bot.claimed()
        recovering = asyncio.create_task(bot.recover(job))
        await asyncio.sleep(0.15)
        assert not recovering.done()
        videos.unlink()
        await bot.keep(job.video_key, clip(tmp_path))
        done = await asyncio.wait_for(recovering, 10)
        assert done is not None
        assert (done.state, len(bot.model.calls)) == (State.RENDERED, NO_CALL)


# --- ending


async def test_a_paid_video_that_cannot_be_read_is_kept_all_the_same(start: StartBot) -> None:
    async with start() as bot:
        job = await bot.claimed()
        await bot.keep(job.video_key, b"\x00\x00\x00\x18ftypmp42 and then nothing")
        done = await bot.recover(job)
        assert done is not None
        assert (done.state, bot.money(done)) == (State.RENDERED, "charged")
        video = await bot.services.videos.get(job.id, guild_id=1)
        assert video is not None
        assert (video.seconds, video.width, video.size) == (1, 0, 29)


async def test_a_link_that_works_at_last_saves_a_paid_video(start: StartBot, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(public=False) as bot:
        bot.model.zero_data_retention, bot.model.link_seconds = False, -10.0
        real = bot.services.renderer._cloudflare.download
        tries = 0

        async def download(url: str, to: Path, *, max_bytes: int) -> int:
            nonlocal tries
            tries += 1
            if tries == 2:
                bot.model.link_seconds = 60.0
                url = bot.model.sign(url.rpartition("/")[2].partition("?")[0])
            return await real(url, to, max_bytes=max_bytes)

        monkeypatch.setattr(bot.services.renderer._cloudflare, "download", download)
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, tries, len(bot.model.calls)) == (State.RENDERED, 2, 1)


async def test_a_paid_video_whose_link_is_dead_is_charged_and_says_so(start: StartBot) -> None:
    async with start(public=False) as bot:
        bot.model.zero_data_retention, bot.model.link_seconds = False, -10.0
        done = await bot.render(await bot.claimed())
        assert done is not None
        assert (done.state, done.reason, bot.money(done)) == (State.FAILED, "download failed", "charged")
        assert "made and charged" in (done.reason_text or "")
        assert len(bot.model.calls) == 1


@pytest.mark.parametrize("method", ["rendered", "fail", "requeue"])
async def test_an_outage_of_the_database_does_not_lose_the_outcome(
    start: StartBot, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async with start() as bot:
        real: Callable[..., Awaitable[Any]] = getattr(bot.services.jobs, method)
        failures = 2

        async def broken(*given: Any, **named: Any) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise StoreError("locked")
            return await real(*given, **named)

        monkeypatch.setattr(bot.services.jobs, method, broken)
        faults = {"fail": Fault.BAD_INPUT, "requeue": Fault.RATE_LIMITED}
        if method in faults:
            bot.model.fail_next(faults[method])
        done = await bot.render(await bot.claimed())
        assert done is not None
        states = {"rendered": State.RENDERED, "fail": State.FAILED, "requeue": State.QUEUED}
        assert (done.state, failures, len(bot.model.calls)) == (states[method], 0, 1)


@pytest.mark.parametrize("fault", [None, Fault.BAD_INPUT, Fault.RATE_LIMITED])
async def test_a_job_that_somebody_else_ended_is_left_alone(start: StartBot, fault: Fault | None) -> None:
    async with start() as bot:
        job = await bot.claimed()
        bot.model.hold("answer")
        if fault:
            bot.model.fail_next(fault)
        await bot.services.jobs.fail(job.id, State.SUBMITTED, reason="other", text="x", settled=Settled.RELEASED)
        task = asyncio.create_task(bot.render(job))
        bot.model.release()
        assert await asyncio.wait_for(task, 10) is None
        now = await bot.services.jobs.get(job.id)
        assert now is not None
        assert (now.reason, bot.money(job)) == ("other", "released")


async def test_submitted_is_on_disk_before_the_call_leaves(start: StartBot) -> None:
    async with start() as bot:
        bot.model.hold("render")
        job = await bot.claimed()
        task = asyncio.create_task(bot.render(job))
        await bot.model.wait_for_call()
        path = bot.services.settings.database.url.removeprefix("sqlite+aiosqlite:///")
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT state FROM jobs").fetchall() == [("submitted",)]
        bot.model.release()
        await asyncio.wait_for(task, 10)


async def test_a_video_that_came_in_spite_of_try_later_is_not_paid_for_again(start: StartBot, tmp_path: Path) -> None:
    async with start() as bot:
        job = await bot.claimed()
        assert await bot.services.jobs.requeue(job.id, delay=0)
        await bot.services.jobs.wake_delayed()
        again = await bot.claim()
        assert (again.id, again.attempts) == (job.id, 2)
        await bot.keep(job.video_key, clip(tmp_path))
        done = await bot.render(again)
        assert done is not None
        assert (done.state, bot.money(done), len(bot.model.calls)) == (State.RENDERED, "charged", NO_CALL)


async def test_an_unknown_outcome_is_handed_back_before_it_is_looked_for(start: StartBot) -> None:
    async with start() as bot:
        bot.model.fail_next(Fault.INTERNAL)
        outcome = await asyncio.wait_for(bot.services.renderer.render(await bot.claimed()), 10)
        assert outcome is not None
        assert (outcome.job.state, outcome.video) == (State.SUBMITTED, None)
