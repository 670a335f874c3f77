"""When something fails: one private sentence for the member, the cause in the log, and no internals in Discord."""

import sqlite3
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from simcord.results import InteractionResult

from bot.store.database import StoreError
from bot.store.records import State
from cogs.replies import UNEXPECTED
from tests.cogs.stage import PROMPT, Stage, answer, refusal

SECRET = "secret internals at /srv/bot/thing.py"


def break_database(stage: Stage) -> None:
    """Take away a table that every acceptance needs, under the bot's feet."""
    connection = sqlite3.connect(stage.path)
    connection.execute("DROP TABLE lanes")
    connection.commit()
    connection.close()


def crashing(error: Exception) -> Callable[..., Any]:
    async def crash(*_: Any, **__: Any) -> Any:
        raise error

    return crash


async def generate(stage: Stage) -> InteractionResult:
    return await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT)


def trouble(stage: Stage) -> list[str]:
    return [line["event"] for line in stage.logs if line["log_level"] in {"error", "critical"}]


async def test_trouble_of_the_database_is_told_and_logged(stage: Stage) -> None:
    break_database(stage)
    assert refusal(await generate(stage)) == StoreError("").sentence
    assert stage.rows() == []
    (line,) = stage.logged("request.failed")
    assert "lanes" in line["cause"]
    assert PROMPT not in str(line)
    assert "lanes" not in stage.discord_saw()


async def test_a_mistake_in_the_program_is_told_and_logged_with_its_traceback(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.services.intake, "take", crashing(ValueError(SECRET)))
    assert refusal(await generate(stage)) == UNEXPECTED
    (line,) = stage.logged("request.crashed")
    assert line["exc_info"].__traceback__ is not None
    assert SECRET not in stage.discord_saw()
    assert "ValueError" not in stage.discord_saw()


async def test_a_mistake_behind_a_button_or_a_form_is_told_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _, message = await stage.posted()
    shown = await stage.bob.click(message, label="Extend")
    monkeypatch.setattr(stage.services.videos, "get", crashing(ValueError(SECRET)))
    for label in ("Extend", "Edit", "Details", "Delete"):
        assert refusal(await stage.ann.click(message, label=label)) == UNEXPECTED
    assert refusal(await stage.bob.submit_modal(shown, {"prompt": PROMPT, "duration": ["6"]})) == UNEXPECTED
    assert trouble(stage) == ["request.crashed"] * 5
    assert SECRET not in stage.discord_saw()


async def test_a_mistake_behind_cancel_leaves_the_card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await generate(stage)
    monkeypatch.setattr(stage.services.jobs, "cancel", crashing(ValueError(SECRET)))
    assert refusal(await stage.ann.click(stage.channel.history()[-1], label="Cancel")) == UNEXPECTED
    assert "In line" in stage.messages()[0].text


async def test_a_mistake_while_typing_offers_nothing_and_is_logged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stage.services.videos, "recent", crashing(ValueError(SECRET)))
    offered = await stage.ann.autocomplete(stage.channel, "video edit", "source", "f", prompt="p")
    assert offered == []
    # discord.py keeps these to itself, and logs them.
    assert SECRET in caplog.text
    assert SECRET not in stage.discord_saw()
    assert stage.messages() == []


@pytest.mark.parametrize("command", ["video generate", "video edit"])
async def test_an_interaction_that_is_too_late_is_only_logged(stage: Stage, command: str) -> None:
    stage.env.inject_error("POST", "/interactions/*/callback", status=404, code=10062, message="Unknown interaction")
    result = await stage.ann.slash(stage.channel, command, prompt=PROMPT)
    assert (result.response, result.followups) == (None, [])
    assert (stage.rows(), stage.messages()) == ([], [])
    (line,) = stage.logged("interaction.too_late")
    assert line["log_level"] == "warning"
    assert trouble(stage) == []


async def test_what_else_discord_refuses_is_a_mistake_and_told(stage: Stage) -> None:
    stage.env.inject_error("POST", "/interactions/*/callback", status=400, code=50035, message="Invalid Form Body")
    assert refusal(await generate(stage)) == UNEXPECTED
    assert trouble(stage) == ["request.crashed"]
    assert stage.rows() == []


@pytest.mark.parametrize("label", ["Extend", "Retry", "Details", "Delete"])
async def test_a_press_that_is_too_late_is_only_logged(stage: Stage, label: str) -> None:
    _, message = await stage.posted()
    stage.env.inject_error("POST", "/interactions/*/callback", status=404, code=10062, message="Unknown interaction")
    result = await stage.ann.click(message, label=label)
    assert (result.response, result.followups, result.modal) == (None, [], None)
    assert len(stage.messages()) == 1
    assert stage.logged("interaction.too_late")
    assert trouble(stage) == []


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/webhooks/*/messages/@original"), ("POST", "/webhooks/*")])
async def test_what_is_accepted_stays_accepted_when_the_answer_is_lost(stage: Stage, method: str, path: str) -> None:
    stage.env.inject_error(method, path, status=500)
    result = await generate(stage)
    assert stage.states() == ["queued"]
    assert "Try again" not in str([message.content for message in [result.response, *result.followups] if message])
    assert stage.logged("card.failed")
    job = await stage.services.jobs.get(stage.rows()[0]["id"])
    assert job is not None
    await stage.bring(job, State.POSTED)
    assert stage.messages()[-1].pinged == [stage.ann.id]


async def test_a_broken_connection_after_acceptance_asks_for_no_second_try(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter: Any = stage.env._webhook_adapter
    request = adapter.request

    async def breaking(route: Any, *given: Any, **more: Any) -> Any:
        if route.method == "POST" and "callback" not in route.path:
            raise aiohttp.ServerDisconnectedError
        return await request(route, *given, **more)

    monkeypatch.setattr(adapter, "request", breaking)
    assert answer(await generate(stage)).startswith("Taken: $0.64")
    assert stage.states() == ["queued"]
    assert trouble(stage) == []


async def test_a_place_in_line_that_cannot_be_looked_up_is_no_reason_for_silence(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.services.jobs, "line", crashing(StoreError("locked")))
    assert answer(await generate(stage)).startswith("Taken: $0.64")
    assert stage.states() == ["queued"]


async def test_an_error_that_cannot_be_told_is_logged(stage: Stage) -> None:
    stage.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=500)
    await stage.ann.slash(stage.channel, "video generate", prompt=" ")
    assert stage.rows() == []
    assert stage.logged("reply.failed")
