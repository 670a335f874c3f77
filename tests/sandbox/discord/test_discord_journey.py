"""The way of a request through an unmodified discord.py: log in, command, deferral, result, button, modal."""

from typing import Any

import discord
import pytest
from discord_bot import Card, Scene, png, upload

from sandbox.discord import File, SandboxError


async def test_a_slash_command_is_deferred_and_answered_only_to_who_asked(scene: Scene) -> None:
    sent = await scene.alice.slash(
        scene.channel,
        "video make",
        {"prompt": "a cat", "image": File("my cat.png", png(5, 4)), "seconds": 3, "who": scene.bob},
    )
    response = await sent.wait_response(3)
    message = await sent.wait_message(3)
    assert (response.kind, response.ephemeral) == ("deferred", True)
    assert message.text == f"a cat | 3 | None | {scene.bob.id} | my_cat.png image/png 5x4 {len(png(5, 4))}"
    assert scene.alice.ephemeral(scene.channel) == [message]
    assert scene.bob.ephemeral(scene.channel) == []
    assert scene.channel.messages == []
    assert sent.response_seconds is not None
    assert scene.sandbox.violations == []


async def test_result_card_with_file_button_modal_and_upload(scene: Scene) -> None:
    async def todo(interaction: discord.Interaction[Any]) -> discord.Message:
        await interaction.response.defer(ephemeral=True)
        await interaction.edit_original_response(content="working")
        view = Card(f"done for {interaction.user.mention}", "attachment://cat.png")
        allowed = discord.AllowedMentions(users=[interaction.user], everyone=False, roles=False)
        return await scene.target.send(file=upload(), view=view, allowed_mentions=allowed, nonce="job-1")

    _, seen = await scene.do(todo)
    [message] = scene.channel.messages
    assert seen.attachments == []
    gallery = next(c for c in seen.components[0].children if isinstance(c, discord.MediaGalleryComponent))
    assert (gallery.items[0].media.width, gallery.items[0].media.content_type) == (3, "image/png")
    assert message.pings.users == {scene.alice.id}
    assert message.nonce == "job-1"
    assert [m.filename for m in message.media] == ["cat.png"]
    assert message.media[0].data == png()

    with pytest.raises(SandboxError, match="disabled"):
        await scene.bob.click(message, "No")
    for prompt, files in (({}, "[]"), ({"Prompt": "a dog", "Pictures": [File("x.png", png())]}, "[x.png 3x2]")):
        opened = await scene.bob.click(message, "Again")
        assert (await opened.wait_response(3)).kind == "modal"
        assert opened.modal is not None
        assert [(f.label, f.value, f.required) for f in opened.modal.fields] == [
            ("Prompt", "a cat", True),
            ("Pictures", [], False),
        ]
        answered = await scene.bob.submit(opened, prompt)
        assert (await answered.wait_message(3)).text == f"7: {prompt.get('Prompt', 'a cat')} {files}"
    with pytest.raises(SandboxError, match="characters"):
        await scene.bob.submit(opened, {"Prompt": "x" * 51})
    with pytest.raises(SandboxError, match="required"):
        await scene.bob.submit(opened, {"Prompt": ""})
    assert scene.sandbox.violations == []


async def test_followup_fills_a_deferral_and_then_makes_new_messages(scene: Scene) -> None:
    async def todo(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True)
        await interaction.followup.send("first", ephemeral=False)
        await interaction.followup.send("second", files=[upload()])
        await interaction.followup.send("third", ephemeral=True)

    sent, _ = await scene.do(todo)
    # The deferral was ephemeral, so what fills it is, whatever the followup says.
    assert [m.text for m in scene.alice.ephemeral(scene.channel)] == ["first", "third"]
    [public] = scene.channel.messages
    assert (public.text, public.media[0].filename) == ("second", "cat.png")
    assert [m.text for m in sent.followups] == ["second", "third"]
    assert scene.sandbox.violations == []


async def test_messages_are_edited_deleted_fetched_and_sent_directly(scene: Scene) -> None:
    async def todo(interaction: discord.Interaction[Any]) -> str:
        await interaction.response.send_message("here", view=discord.ui.View())
        message = await scene.target.send("one", files=[upload()])
        edited = await message.edit(content="two", attachments=[])
        fetched = await scene.target.fetch_message(edited.id)
        await message.delete()
        user = await scene.bot.fetch_user(interaction.user.id)
        await user.send("psst", file=upload("note.txt", b"hello"))
        # The public response is an ordinary message for the bot token.
        original = await interaction.original_response()
        await scene.target.get_partial_message(original.id).edit(content="there")
        return f"{fetched.content} {len(fetched.attachments)}"

    _, text = await scene.do(todo)
    assert text == "two 0"
    assert [m.text for m in scene.channel.messages] == ["there"]
    assert [m.text for m in scene.alice.dms] == ["psst"]
    assert [m.text for m in scene.sandbox.deleted] == ["two"]
    assert scene.sandbox.posts[scene.channel.id] == 2
    assert scene.sandbox.violations == []


async def test_context_menu_and_autocomplete(scene: Scene) -> None:
    message = await scene.bob.say(scene.channel, "look", [File("a.png", png())])
    sent = await scene.alice.context_menu(scene.channel, "Look at it", message)
    assert (await sent.wait_message(3)).text == "saw look 1"
    choices = await scene.alice.autocomplete(scene.channel, "video make", {"size": "bi"}, focused="size")
    assert [(c.name, c.value) for c in choices] == [("bi!", "bi")]
    assert scene.sandbox.violations == []


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "needs"),
        ({"prompt": ""}, "required"),
        ({"prompt": "x" * 101}, "outside"),
        ({"prompt": "x", "seconds": 16}, "outside"),
        ({"prompt": "x", "seconds": "3"}, "fit"),
        ({"prompt": "x", "colour": "red"}, "no options"),
        ({"prompt": "x", "image": File("big.png", b"0" * (10 * 1024 * 1024 + 1))}, "powerful"),
    ],
)
async def test_the_client_refuses_what_does_not_fit_the_registered_command(
    scene: Scene, values: dict[str, Any], fault: str
) -> None:
    with pytest.raises(SandboxError, match=fault):
        await scene.alice.slash(scene.channel, "video make", values)
