"""Cancel: who may, when it is too late, and what is left."""

import asyncio
from typing import Any

import pytest

from bot.store.records import Settled, State
from tests.bot.parts import png
from tests.cogs.stage import PROMPT, Stage, parts, refusal


async def asked(stage: Stage, **options: Any) -> Any:
    """Ann's request, and the message of its card."""
    await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT, **options)
    return stage.channel.history()[-1]


@pytest.mark.parametrize("who", ["ann", "mod"])
async def test_owner_and_moderators_cancel_also_after_a_restart(stage: Stage, who: str) -> None:
    card = await asked(stage, image=("a.png", png()))
    assert len(stage.files()) == 1
    await stage.restart()
    actor = getattr(stage, who)
    result = await actor.click(card, label="Cancel")
    assert not result.followups
    assert (stage.states(), stage.money(), stage.files()) == (["cancelled"], ["released"], [])
    (left,) = stage.messages()
    assert left.text == f"**Cancelled** by {actor.mention}. Nothing was charged.\n> {PROMPT}"
    assert not left.buttons
    assert not left.pinged
    assert stage.logged("job.cancelled")


async def test_strangers_do_not_cancel(stage: Stage) -> None:
    card = await asked(stage)
    assert "Only the member who asked" in refusal(await stage.bob.click(card, label="Cancel"))
    assert (stage.states(), stage.money()) == (["queued"], ["reserved"])
    assert "In line" in stage.messages()[0].text


async def test_a_second_press_says_that_it_is_done(stage: Stage) -> None:
    card = await asked(stage)
    stored = stage.env.backend.get_message(stage.channel.id, card.id)
    before = [dict(part) for part in stored.components]
    await stage.ann.click(card, label="Cancel")
    # Another client still shows the button.
    stored.components = before
    sentence = refusal(await stage.mod.click(card, label="Cancel"))
    assert sentence == "This request is cancelled already. Nothing was charged."
    assert stage.money() == ["released"]


@pytest.mark.parametrize(
    ("state", "saying"),
    [(State.SUBMITTED, "is being made"), (State.RENDERED, "is being posted"), (State.POSTED, "is posted")],
)
async def test_after_the_claim_it_is_too_late(stage: Stage, state: State, saying: str) -> None:
    card = await asked(stage)
    stored = stage.env.backend.get_message(stage.channel.id, card.id)
    job = await stage.services.jobs.get(stage.rows()[0]["id"])
    assert job is not None
    await stage.bring(job, state)
    stage.env.backend.messages[stage.channel.id][card.id] = stored
    sentence = refusal(await stage.ann.click(card, label="Cancel"))
    assert sentence.startswith("It is too late to cancel")
    assert saying in sentence
    assert stage.states() == [state.value]


async def test_a_failed_request_is_over(stage: Stage) -> None:
    card = await asked(stage)
    job = await stage.services.jobs.claim(room=1)
    assert job is not None
    await stage.services.jobs.fail(job.id, State.SUBMITTED, reason="r", text="t", settled=Settled.RELEASED)
    assert refusal(await stage.ann.click(card, label="Cancel")) == "This request is over already."


async def test_an_id_from_another_guild_finds_nothing(stage: Stage) -> None:
    elsewhere = stage.env.create_guild("Elsewhere")
    other = await stage.job(guild_id=elsewhere.id, channel_id=elsewhere.create_text_channel("x").id)
    card = await asked(stage)
    for part in parts(stage.env.backend.get_message(stage.channel.id, card.id).components):
        if "custom_id" in part:
            part["custom_id"] = f"cinecord:cancel:{other.id}"
    assert refusal(await stage.mod.click(card, label="Cancel")) == "That request is not there any more."
    assert stage.states() == ["queued", "queued"]


async def test_when_one_leaves_the_others_move_up(stage: Stage) -> None:
    first = await asked(stage)
    await stage.env.advance_time(1)
    await asked(stage)
    await stage.env.advance_time(1)
    await asked(stage)
    assert [message.text.splitlines()[0] for message in stage.messages()] == [
        f"**In line: number {place}**" for place in (1, 2, 3)
    ]
    await stage.ann.click(first, label="Cancel")
    await stage.env.advance_time(61)
    cancelled, *others = stage.messages()
    assert "Cancelled" in cancelled.text
    assert [message.text.splitlines()[0] for message in others] == [f"**In line: number {place}**" for place in (1, 2)]


async def test_two_presses_at_once_free_the_money_once(stage: Stage) -> None:
    await asked(stage)
    job_id = stage.rows()[0]["id"]
    both = await asyncio.gather(*(stage.services.jobs.cancel(job_id) for _ in range(2)))
    assert sorted(job is None for job in both) == [False, True]
    assert stage.rows("spending")[0]["amount"] == 0
