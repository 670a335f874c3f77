"""The rules for answering interactions: in time, once, with a living token, and who sees it."""

from typing import Any

import discord
import pytest
from discord_bot import Card, Clock, Scene, ask, upload

from sandbox.discord import SandboxError, SandboxTimeout

Any_ = discord.Interaction[Any]


async def test_a_late_answer_is_unknown_and_a_breach(scene: Scene, clock: Clock) -> None:
    async def todo(interaction: Any_) -> None:
        clock.ahead = 3.5
        await interaction.response.send_message("late")

    with pytest.raises(discord.NotFound) as caught:
        await scene.do(todo)
    assert caught.value.code == 10062
    assert scene.channel.messages == []
    assert any("10062" in violation for violation in scene.sandbox.violations)
    [sent] = scene.sandbox.interactions.values()
    assert sent.failed
    with pytest.raises(SandboxTimeout):
        await sent.wait_response(0.01)


async def test_a_second_answer_is_refused(scene: Scene) -> None:
    sent, _ = await scene.do(lambda interaction: interaction.response.send_message("one"))
    path = f"/interactions/{sent.id}/{sent.token}/callback"
    again = await ask(scene.sandbox, "POST", path, {"type": 4, "data": {"content": "two"}})
    assert (again.status, again.code) == (400, 40060)
    assert [message.text for message in scene.channel.messages] == ["one"]


async def test_the_token_dies_and_the_public_message_can_still_be_edited(scene: Scene, clock: Clock) -> None:
    async def todo(interaction: Any_) -> discord.HTTPException:
        await interaction.response.send_message("public")
        message = await interaction.original_response()
        clock.ahead = 901
        try:
            await interaction.followup.send("too late")
        except discord.HTTPException as error:
            await scene.target.get_partial_message(message.id).edit(content="edited")
            return error
        raise AssertionError("the token lives")

    _, error = await scene.do(todo)
    assert (error.status, error.code) == (401, 50027)
    assert [message.text for message in scene.channel.messages] == ["edited"]
    assert scene.sandbox.ratelimits.invalid_requests == 1


async def test_an_ephemeral_message_is_unknown_to_the_bot_token_and_to_others(scene: Scene) -> None:
    async def todo(interaction: Any_) -> Any:
        await interaction.response.send_message("secret", ephemeral=True, view=Button())
        return await interaction.original_response()

    _, message = await scene.do(todo)
    for method, body in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
        answer = await ask(scene.sandbox, method, f"/channels/{scene.channel.id}/messages/{message.id}", body)
        assert (answer.status, answer.code) == (404, 10008), method
    [own] = scene.alice.ephemeral(scene.channel)
    with pytest.raises(SandboxError, match="does not see"):
        await scene.bob.click(own, "Press")


class Button(discord.ui.View):
    @discord.ui.button(label="Press", custom_id="press")
    async def press(self, interaction: Any_, _: Any) -> None:
        await interaction.response.edit_message(content="pressed", view=None)


class Menu(discord.ui.View):
    @discord.ui.select(cls=discord.ui.UserSelect, custom_id="who", min_values=1, max_values=2)
    async def who(self, interaction: Any_, select: discord.ui.UserSelect[Any]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=",".join(user.name for user in select.values), view=None)


async def test_a_component_updates_its_own_message(scene: Scene) -> None:
    async def todo(interaction: Any_) -> None:
        await interaction.response.send_message("hello", ephemeral=True, view=Button())
        await interaction.followup.send("choose", view=Menu())

    await scene.do(todo)
    [own] = scene.alice.ephemeral(scene.channel)
    clicked = await scene.alice.click(own, custom_id="press")
    assert (await clicked.wait_response(3)).kind == "update"
    assert (own.text, own.buttons) == ("pressed", [])
    [menu] = scene.channel.messages
    chosen = await scene.alice.select(menu, [scene.bob, scene.alice])
    assert (await chosen.wait_response(3)).kind == "deferred_update"
    await scene.sandbox.wait_for(lambda: menu.text == "bob,alice", 3, what="the edit")
    assert chosen.original is menu
    assert scene.sandbox.violations == []


async def test_a_card_of_another_life_answers_a_forged_press_only_where_the_button_is(scene: Scene) -> None:
    async def todo(interaction: Any_) -> None:
        await interaction.response.send_message("hi", view=discord.ui.View())
        await scene.target.send(file=upload(), view=Card("text", "attachment://cat.png"))

    await scene.do(todo)
    plain, card = scene.channel.messages
    forged = await scene.alice.press(scene.channel, "again:8", plain)
    real = await scene.alice.press(scene.channel, "again:7", card)
    await real.wait_response(3)
    # discord.py looks for the button on the message, so the forged one is never answered.
    assert forged.response is None


async def test_the_webhook_knows_nothing_before_the_first_answer(scene: Scene) -> None:
    scene.bot.todo = lambda _: __import__("asyncio").sleep(0)
    sent = await scene.alice.slash(scene.channel, "do")
    path = f"/webhooks/{scene.sandbox.application_id}/{sent.token}"
    before = await ask(scene.sandbox, "POST", path, {"content": "x"})
    assert (before.status, before.code) == (404, 10015)
    wrong = await ask(scene.sandbox, "POST", path + "x", {"content": "x"})
    assert (wrong.status, wrong.code) == (404, 10015)
    original = await ask(scene.sandbox, "GET", path + "/messages/@original")
    assert original.code == 10015


@pytest.mark.parametrize("kind", [1, 6, 7, 8, 10, None])
async def test_a_command_cannot_be_answered_with_any_type(scene: Scene, kind: int | None) -> None:
    scene.bot.todo = lambda _: __import__("asyncio").sleep(0)
    sent = await scene.alice.slash(scene.channel, "do")
    answer = await ask(scene.sandbox, "POST", f"/interactions/{sent.id}/{sent.token}/callback", {"type": kind})
    assert (answer.status, answer.code) == (400, 50035)
    assert sent.response is None


def _text_input(**more: Any) -> dict[str, Any]:
    return {"type": 4, "custom_id": "a", "style": 1} | more


def _label(component: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": 18, "label": "L", "component": component} | more


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"title": "x" * 46}, "data.title"),
        ({"custom_id": ""}, "data.custom_id"),
        ({"components": []}, "data.components"),
        ({"components": [_label(_text_input(custom_id=str(n))) for n in range(6)]}, "data.components"),
        ({"components": [_label(_text_input()), _label(_text_input())]}, "data.components"),
        ({"components": [_label(_text_input(value="x" * 11, max_length=10))]}, "data.components.0.component.value"),
        ({"components": [_label(_text_input(max_length=4001))]}, "data.components.0.component.max_length"),
        ({"components": [_label(_text_input(), label="x" * 46)]}, "data.components.0.label"),
        (
            {"components": [_label({"type": 19, "custom_id": "f", "max_values": 11})]},
            "data.components.0.component.max_values",
        ),
        ({"components": [_label({"type": 2, "custom_id": "b", "style": 1})]}, "data.components.0.component.type"),
        ({"components": [{"type": 17, "components": []}]}, "data.components.0.type"),
    ],
)
async def test_modals_are_checked(scene: Scene, change: dict[str, Any], fault: str) -> None:
    scene.bot.todo = lambda _: __import__("asyncio").sleep(0)
    scene.sandbox.openapi = None
    sent = await scene.alice.slash(scene.channel, "do")
    data = {"title": "T", "custom_id": "m", "components": [_label(_text_input())]} | change
    path = f"/interactions/{sent.id}/{sent.token}/callback"
    answer = await ask(scene.sandbox, "POST", path, {"type": 9, "data": data})
    assert (answer.status, answer.faults) == (400, {fault})


async def test_an_interaction_carries_what_the_bot_needs(scene: Scene) -> None:
    async def todo(interaction: Any_) -> Any:
        await interaction.response.defer()
        return interaction

    scene.guild.boost_tier = 2
    role = scene.guild.create_role("editors")
    scene.alice.roles.append(role)
    _, seen = await scene.do(todo)
    assert seen.filesize_limit == 50 * 1024 * 1024
    assert seen.user.joined_at.timestamp() == pytest.approx(scene.alice.joined_at, abs=0.001)
    assert [r.id for r in seen.user.roles] == [scene.guild.id, role.id]
    assert seen.permissions.send_messages
    assert not seen.permissions.manage_guild
    assert seen.app_permissions.attach_files
    assert (seen.guild_id, seen.channel.id) == (scene.guild.id, scene.channel.id)
    assert seen.context.guild


class Everything(discord.ui.Modal, title="Everything"):
    hint = discord.ui.TextDisplay("Read me")
    ratio = discord.ui.Label(
        text="Ratio",
        component=discord.ui.RadioGroup(
            options=[discord.RadioGroupOption(label=v, value=v, default=v == "b") for v in "abc"]
        ),
    )
    loud = discord.ui.Label(text="Loud", component=discord.ui.Checkbox(default=True))
    tags = discord.ui.Label(
        text="Tags",
        description="One or two",
        component=discord.ui.Select(
            options=[discord.SelectOption(label=v, value=v) for v in "xyz"], max_values=2, required=False
        ),
    )
    who = discord.ui.Label(text="Who", component=discord.ui.UserSelect(required=False, min_values=0))

    async def on_submit(self, interaction: Any_) -> None:
        parts: list[Any] = [self.ratio.component, self.loud.component]
        menus: list[Any] = [self.tags.component, self.who.component]
        text = f"{[part.value for part in parts]} {[[str(v) for v in menu.values] for menu in menus]}"
        await interaction.response.send_message(text, ephemeral=True)


async def test_every_kind_of_modal_input_arrives(scene: Scene) -> None:
    async def todo(interaction: Any_) -> None:
        await interaction.response.send_modal(Everything())

    opened, _ = await scene.do(todo)
    assert opened.modal is not None
    assert "Read me" in opened.modal.text
    assert {f.label: f.value for f in opened.modal.fields} == {"Ratio": "b", "Loud": True, "Tags": [], "Who": []}
    for wrong in ({"Ratio": "d"}, {"Tags": ["x", "y", "z"]}, {"Tags": ["q"]}, {"Nothing": 1}):
        with pytest.raises(SandboxError):
            await scene.alice.submit(opened, wrong)
    values = {"Ratio": "c", "Loud": False, "Tags": ["x", "z"], "Who": [scene.bob]}
    sent = await scene.alice.submit(opened, values)
    assert (await sent.wait_message(3)).text == "['c', False] [['x', 'z'], ['bob']]"
    assert scene.sandbox.violations == []
