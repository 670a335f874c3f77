"""The pure parts: a form's way out and back in, custom_ids, and what the cards say."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import Operation, Request
from bot.store.records import Job, State, new_id
from cogs import cards
from cogs.buttons import CancelButton, VideoButton
from cogs.forms import LONGEST_PROMPT, Sent, form, read
from tests.cogs.stage import parts, texts, video_of

ID = new_id(1_795_000_000_000)


def sent_back(custom_id: object, components: object, kind: int = 5) -> Any:
    """An interaction as far as `read` looks at it."""
    data = {"custom_id": custom_id, "components": components}
    return cast("Any", SimpleNamespace(type=discord.InteractionType(kind), data=data))


def filled(modal: discord.ui.Modal, **values: Any) -> Any:
    """What a client sends of a form: the same tree, with values, and no more."""
    labels = modal.to_dict()["components"]
    back = [{"type": 18, "id": n, "component": leaf(label["component"], values)} for n, label in enumerate(labels)]
    return sent_back(modal.custom_id, back)


def leaf(component: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    name = "values" if component["type"] == 3 else "value"
    return {"type": component["type"], "custom_id": component["custom_id"], name: values[component["custom_id"]]}


async def test_a_form_comes_back_as_it_was_sent() -> None:
    for action, opened, prompt, seconds in (
        ("extend", 0, "", 2),
        ("extend", 2**63, "a\nb", 10),
        ("edit", 1, ":" * 9, 6),
        ("retry", 7, "🦊", 6),
    ):
        modal = form(action, ID, "a fox", opened_by=opened)
        assert len(modal.custom_id) <= 100
        found = read(filled(modal, prompt=prompt, duration=[str(seconds)]))
        assert found == Sent(action, ID, f"form:{opened}", prompt, seconds if action == "extend" else None)


@pytest.mark.parametrize("length", [1, LONGEST_PROMPT, LONGEST_PROMPT + 1, 6000])
async def test_forms_keep_discords_limits(length: int) -> None:
    for action in ("extend", "edit", "retry"):
        modal = form(action, ID, "x" * length, opened_by=2**63).to_dict()
        assert len(modal["title"]) <= 45
        for label in modal["components"]:
            assert len(label["label"]) <= 45
            assert len(label.get("description") or "") <= 100
            field = label["component"]
            assert len(field.get("value") or "") <= 4000
            assert len(field.get("options") or []) <= 25
        assert modal["components"][0]["component"]["required"] is (length <= LONGEST_PROMPT)


@given(
    st.one_of(
        st.text(), st.sampled_from(["cinecord:form:delete:" + ID + ":1", f"cinecord:form:edit:{ID}", "", "x:form"])
    ),
    st.lists(
        st.recursive(
            st.dictionaries(st.sampled_from(["type", "value"]), st.integers(), max_size=2),
            lambda inner: st.fixed_dictionaries({"components": st.lists(inner, max_size=2)}),
            max_leaves=5,
        ),
        max_size=3,
    ),
)
@settings(max_examples=40)
def test_what_is_no_form_of_ours_is_left_alone(custom_id: str, components: list[Any]) -> None:
    assert read(sent_back(custom_id, components)) is None


def test_a_form_of_ours_with_nothing_or_nonsense_in_it_is_read_as_empty() -> None:
    custom_id = f"cinecord:form:extend:{ID}:7"
    nonsense = [{"type": 18, "component": {"custom_id": "duration", "values": ["many"]}}]
    for components in ([], [{"type": 18}], nonsense):
        assert read(sent_back(custom_id, components)) == Sent("extend", ID, "form:7", "", None)
    assert read(sent_back(custom_id, [], kind=3)) is None


async def test_every_custom_id_leads_back_to_its_button() -> None:
    for action in ("extend", "edit", "retry", "details", "delete"):
        button = VideoButton(action, ID)
        assert button.custom_id is not None
        found = VideoButton.__discord_ui_compiled_template__.fullmatch(button.custom_id)
        assert found is not None
        assert (found["action"], found["video"]) == (action, ID)
    button = CancelButton(ID)
    assert button.custom_id is not None
    assert CancelButton.__discord_ui_compiled_template__.fullmatch(button.custom_id)
    for forged in (f"cinecord:drop:{ID}", f"cinecord:edit:{ID}x", "cinecord:edit:", f"cinecord:edit:{ID.upper()}"):
        assert not VideoButton.__discord_ui_compiled_template__.fullmatch(forged)


JOB = Job(
    id=ID,
    guild_id=1,
    channel_id=2,
    user_id=3,
    state=State.QUEUED,
    request=Request(operation=Operation.GENERATE, prompt="*" * 6000),
    parent_id=None,
    price=640_000,
    upload_limit=1,
    attempts=0,
    card_message_id=None,
    reason=None,
    reason_text=None,
    message_id=None,
    created_at=1_795_000_000_000,
    submitted_at=None,
    rendered_at=None,
    ended_at=None,
)


async def test_no_card_is_longer_than_discord_takes() -> None:
    video = video_of(JOB, seconds=123.4, size=10**12)
    link = "https://example.org/" + "x" * 1000
    views = [
        cards.status_card(JOB, place=10**6),
        cards.status_card(replace(JOB, state=State.SUBMITTED, submitted_at=JOB.created_at)),
        cards.failure_card(replace(JOB, state=State.FAILED, reason_text="@" * 5000)),
        cards.cancelled_card(JOB, 2**63),
        cards.video_post(JOB, video, file_name="a.mp4"),
        cards.video_post(JOB, video, file_name=None, link=link),
        cards.video_post(JOB, video, file_name=None),
    ]
    for view in views:
        tree = view.to_components()
        assert sum(map(len, texts(tree))) <= 4000
        assert len(list(parts(tree))) <= 40
        assert view.is_finished()


async def test_a_failure_without_words_of_its_own_says_what_is_known() -> None:
    (text,) = texts(cards.failure_card(JOB).to_components())
    assert "This request ended without a video." in text


async def test_a_card_names_whom_it_is_for_and_what_it_costs() -> None:
    (text,) = texts(cards.status_card(JOB, place=3).to_components())
    assert "In line: number 3" in text
    assert "$0.64" in text
    assert "<@3>" in text
    assert re.search(r"> (\\\*){599}…\n", text)
