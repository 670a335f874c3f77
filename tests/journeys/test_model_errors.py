"""Each row of the API's error table: what people read, what was charged, and that no paid call is made twice."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from journey import Journey, Place, video_id

from sandbox.cloudflare import Fault
from sandbox.discord import Channel, Message

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {
    "QUEUE__MAX_RUNNING": "50",
    "QUEUE__PER_GUILD_RUNNING": "50",
    "QUEUE__PER_USER_RUNNING": "50",
    "QUEUE__PER_USER_WAITING": "50",
}

OPERATOR = "the bot's operator has been told"
NOT_CHARGED = {
    Fault.BAD_INPUT: "The model refused this request",
    Fault.UPLOAD_URL_MISSING: OPERATOR,
    Fault.CREDENTIALS: OPERATOR,
    Fault.NO_CREDITS: OPERATOR,
    Fault.FORBIDDEN: OPERATOR,
    Fault.ACCOUNT_BLOCKED: OPERATOR,
    Fault.ACCOUNT_BLOCKED_3041: OPERATOR,
    Fault.ACCOUNT_BLOCKED_5018: OPERATOR,
    Fault.NO_SUCH_MODEL: OPERATOR,
    Fault.NO_SUCH_MODEL_400: OPERATOR,
    Fault.TOO_LARGE: "too large for the model",
    Fault.AI_GATEWAY_ERROR: OPERATOR,
}
MAYBE = {
    Fault.MODERATED: "moderation blocked",
    Fault.MODERATED_424: "moderation blocked",
    Fault.MODERATED_424_2017: "moderation blocked",
    Fault.FAILED_STATE: "could not make this video",
}
PASSING = (
    Fault.RATE_LIMITED,
    Fault.RATE_LIMITED_RETRY_AFTER,
    Fault.SPEND_LIMIT,
    Fault.OUT_OF_CAPACITY,
    Fault.QUOTA,
    Fault.UNAVAILABLE,
)
UNKNOWN = (
    Fault.TIMEOUT,
    Fault.ABORTED,
    Fault.INTERNAL,
    Fault.BAD_GATEWAY,
    Fault.GATEWAY_TIMEOUT,
    Fault.CF_524,
    Fault.CONNECTION_LOST,
)
SPOILED = (
    Fault.CONNECTION_LOST_AFTER_RENDER,
    Fault.GARBAGE_JSON,
    Fault.EMPTY_BODY,
    Fault.TRUNCATED_BODY,
    Fault.SLOW_UPLOAD,
)
NO_VIDEO = "No video this time"


@pytest.fixture(autouse=True)
def _no_rate_limits(shared: Journey) -> None:
    # One member asks for so much at once that the limits of the stand-in would be all that is waited for.
    shared.discord.ratelimits.enabled = False


async def test_every_row_is_walked() -> None:
    walked = {*NOT_CHARGED, *MAYBE, *PASSING, *UNKNOWN, *SPOILED, Fault.UPLOAD_MISSING}
    assert walked == set(Fault)


async def asked(shared: Journey, place: Place, name: str, prompt: str) -> tuple[Channel, str]:
    """A request in a channel of its own, and its job's id."""
    channel = place.guild.create_channel(name)
    await shared.told(await shared.ask(place.alice, channel, prompt, duration=1))
    return channel, shared.jobs("channel_id = ?", channel.id)[0]["id"]


async def failed(shared: Journey, channel: Channel, job_id: str, words: str, money: str) -> Message:
    """The card of a job that failed: a sentence, a Retry button, settled money, and one call."""
    job = await shared.state(job_id, "failed", seconds=25)
    card = await shared.card(channel, NO_VIDEO)
    await shared.until(lambda: channel.messages == [card], "one message to be left")
    assert words in card.text
    assert ("Nothing was charged" in card.text) == (money == "released")
    assert ("may have been charged" in card.text) == (money == "possibly_charged")
    assert [button.label for button in card.buttons] == ["Retry"]
    assert shared.money(job_id) == money
    assert job["ended_at"]
    return card


@pytest.mark.parametrize("fault", NOT_CHARGED)
async def test_a_refusal_costs_nothing_and_offers_retry(shared: Journey, place: Place, fault: Fault) -> None:
    channel, job = await asked(shared, place, fault.value, f"please sandbox:fault={fault.value}")
    card = await failed(shared, channel, job, NOT_CHARGED[fault], "released")
    assert len(shared.calls_for(job)) == 1
    assert shared.model.charges_for(job) == []
    opened = await shared.click(place.alice, card, "Retry")
    await shared.told(await shared.submit(place.alice, opened, {"prompt": "a kinder wish"}))
    await shared.video(channel)
    if NOT_CHARGED[fault] == OPERATOR:
        assert [line for line in shared.log.splitlines() if job in line and "cause=" in line]


@pytest.mark.parametrize("after_render", [False, True])
@pytest.mark.parametrize("fault", MAYBE)
async def test_a_blocked_video_may_have_cost_and_is_not_repeated(
    shared: Journey, place: Place, fault: Fault, after_render: bool
) -> None:
    shared.model.fail_next(fault, after_render=after_render)
    channel, job = await asked(shared, place, fault.value, "something not quite allowed")
    await failed(shared, channel, job, MAYBE[fault], "possibly_charged")
    assert len(shared.calls_for(job)) == 1
    assert len(shared.model.charges_for(job)) == int(after_render)


@pytest.mark.parametrize("fault", PASSING)
async def test_try_later_is_tried_later(shared: Journey, place: Place, fault: Fault) -> None:
    channel, job = await asked(shared, place, fault.value, f"patience sandbox:fault={fault.value}*2")
    posted = await shared.video(channel)
    assert video_id(posted) == job
    calls = shared.calls_for(job)
    assert len(calls) == 3
    assert len(shared.model.charges_for(job)) == 1
    assert shared.money(job) == "charged"
    waits = [later.at - earlier.at for earlier, later in pairwise(calls)]
    if fault is Fault.RATE_LIMITED_RETRY_AFTER:
        assert min(waits) >= 1


async def test_try_later_ends_after_six_repeats_and_costs_nothing(shared: Journey, place: Place) -> None:
    channel, job = await asked(shared, place, "never", "patience sandbox:fault=unavailable")
    await failed(shared, channel, job, "takes no more requests right now", "released")
    assert len(shared.calls_for(job)) == 7
    assert shared.model.charges_for(job) == []


@pytest.mark.parametrize("fault", SPOILED)
async def test_a_paid_video_is_posted_though_its_answer_is_spoiled(shared: Journey, place: Place, fault: Fault) -> None:
    shared.model.slow_upload_seconds = 0.3
    channel, job = await asked(shared, place, fault.value, f"a surprise sandbox:fault={fault.value}")
    assert video_id(await shared.video(channel)) == job
    assert len(shared.calls_for(job)) == 1
    assert len(shared.model.charges_for(job)) == 1
    assert shared.money(job) == "charged"


@pytest.mark.parametrize("fault", [f for f in UNKNOWN if f is not Fault.CONNECTION_LOST])
async def test_a_video_that_comes_with_an_error_is_posted(shared: Journey, place: Place, fault: Fault) -> None:
    shared.model.fail_next(fault, after_render=True)
    channel, job = await asked(shared, place, fault.value, "a surprise with a bang")
    assert video_id(await shared.video(channel)) == job
    assert len(shared.calls_for(job)) == 1
    assert shared.money(job) == "charged"


async def test_an_unknown_outcome_is_waited_out_and_never_repeated(shared: Journey, place: Place) -> None:
    # All at once, because each is looked for until the render timeout, which is 10 seconds at least.
    jobs: list[tuple[Channel, str]] = [
        await asked(shared, place, fault.value, f"who knows sandbox:fault={fault.value}")
        for fault in (*UNKNOWN, Fault.UPLOAD_MISSING)
    ]

    async def one(channel: Channel, job: str) -> Any:
        return await failed(shared, channel, job, "lost touch with the video service", "possibly_charged")

    await asyncio.gather(*[one(channel, job) for channel, job in jobs])
    assert {row["reason"] for row in shared.jobs("guild_id = ?", place.guild.id)} == {"outcome unknown"}
    assert [len(shared.calls_for(job)) for _, job in jobs] == [1] * len(jobs)
    assert [len(shared.model.charges_for(job)) for _, job in jobs] == [0] * len(UNKNOWN) + [1]
