"""What Discord refuses in a message, and what it makes of one."""

from typing import Any

import aiohttp
import pytest
from discord_bot import ask, png

from sandbox.discord import Channel, DiscordSandbox

V2 = 1 << 15
MIB = 1024 * 1024
Place = tuple[DiscordSandbox, Channel]


def text(content: str = "t") -> dict[str, Any]:
    return {"type": 10, "content": content}


def button(**more: Any) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": "B", "custom_id": "b"} | more


def row(*children: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(children)}


def gallery(*urls: str) -> dict[str, Any]:
    return {"type": 12, "items": [{"media": {"url": url}} for url in urls]}


def v2(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"flags": V2, "components": list(components)} | more


SELECT = {"type": 3, "custom_id": "s", "options": [{"label": "a", "value": "a"}]}
BAD = [
    ({"content": "x" * 2001}, "content"),
    ({"content": "x", "embeds": [{"title": "x" * 257}]}, "embeds.0.title"),
    ({"embeds": [{"description": "x" * 4000}, {"description": "x" * 2001}]}, "embeds"),
    ({"content": "x", "components": [text()]}, "components.0.type"),
    ({"content": "x", "components": [row(button(custom_id=str(n))) for n in range(6)]}, "components"),
    ({"content": "x", "components": [row(*(button(custom_id=str(n)) for n in range(6)))]}, "components.0.components"),
    ({"content": "x", "components": [row(button(), button())]}, "components"),
    ({"content": "x", "components": [row(button(custom_id=None))]}, "components.0.components.0.custom_id"),
    ({"content": "x", "components": [row(button(custom_id="x" * 101))]}, "components.0.components.0.custom_id"),
    ({"content": "x", "components": [row(button(label="x" * 81))]}, "components.0.components.0.label"),
    ({"content": "x", "components": [row(button(label=None))]}, "components.0.components.0"),
    ({"content": "x", "components": [row(button(url="https://a.b"))]}, "components.0.components.0.url"),
    ({"content": "x", "components": [row({"type": 2, "style": 5, "label": "L"})]}, "components.0.components.0.url"),
    ({"content": "x", "components": [row(SELECT, button())]}, "components.0.components"),
    ({"content": "x", "components": [row(SELECT | {"options": []})]}, "components.0.components.0.options"),
    ({"content": "x", "nonce": "n" * 26}, "nonce"),
    ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, "allowed_mentions"),
    ({"content": "x", "allowed_mentions": {"parse": ["all"]}}, "allowed_mentions.parse.0"),
    ({"content": "x", "attachments": [{"id": 0}]}, "attachments.0.id"),
    (v2(text(), content="x"), "content"),
    (v2(text(), embeds=[{"title": "x"}]), "embeds"),
    (v2(*(text() for _ in range(41))), "components"),
    (v2({"type": 17, "components": [text() for _ in range(40)]}), "components"),
    (v2(text("x" * 2001), text("x" * 2000)), "components"),
    (v2(text("")), "components.0.content"),
    (v2(gallery()), "components.0.items"),
    (v2(gallery(*(["https://a.b/c.png"] * 11))), "components.0.items"),
    (v2(gallery("attachment://none.png")), "components.0.items.0.media.url"),
    (v2(gallery("ftp://a.b/c.png")), "components.0.items.0.media.url"),
    (v2({"type": 13, "file": {"url": "https://a.b/c.txt"}}), "components.0.file.url"),
    (v2({"type": 9, "components": [text()]}), "components.0.accessory"),
    (v2({"type": 17, "components": [{"type": 17, "components": [text()]}]}), "components.0.components.0.type"),
    (v2(text() | {"id": 4}, text() | {"id": 4}), "components"),
]


@pytest.mark.parametrize(("body", "fault"), BAD, ids=[f"{n}-{fault}" for n, (_, fault) in enumerate(BAD)])
async def test_a_bad_body_is_refused_and_named(place: Place, body: dict[str, Any], fault: str) -> None:
    sandbox, channel = place
    sandbox.openapi = None  # the rules beside the description must find it alone
    answer = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body)
    assert (answer.status, answer.code, answer.faults) == (400, 50035, {fault})
    assert channel.messages == []
    assert len(sandbox.violations) == 1


@pytest.mark.parametrize("body", [{}, {"content": ""}, {"content": "  \n"}, {"content": None, "flags": V2}])
async def test_an_empty_message_is_refused(place: Place, body: dict[str, Any]) -> None:
    sandbox, channel = place
    answer = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body)
    assert (answer.status, answer.code) == (400, 50006)


async def test_unknown_fields_are_noted_but_not_refused(place: Place) -> None:
    sandbox, channel = place
    body = {"content": "x", "contents": 1, "components": [row(button(colour="red"))]}
    answer = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body)
    assert answer.status == 200
    assert [v.rpartition(" ")[2] for v in sandbox.violations] == ["contents", "components.0.components.0.colour"]


async def test_a_v2_message_hides_its_files_in_the_components(place: Place) -> None:
    sandbox, channel = place
    file = {"type": 13, "file": {"url": "attachment://b.txt"}}
    body = v2({"type": 17, "components": [gallery("attachment://a.png"), file, row(button())]}, text())
    files = [("a.png", png(7, 5)), ("b.txt", b"hello")]
    posted = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", body, files=files)
    container = posted.json["components"][0]
    assert posted.json["attachments"] == []
    item = container["components"][0]["items"][0]["media"]
    assert (item["width"], item["height"], item["content_type"], item["size"]) == (7, 5, "image/png", len(png(7, 5)))
    assert (container["components"][1]["name"], container["components"][1]["size"]) == ("b.txt", 5)
    assert [c["id"] for c in (container, *container["components"])] == [1, 2, 3, 4]
    assert posted.json["components"][1]["id"] == 6
    message = channel.messages[0]
    assert [(m.filename, m.data) for m in message.media] == files
    assert sandbox.violations == []


async def test_a_v2_file_that_no_component_shows_is_refused(place: Place) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    answer = await ask(sandbox, "POST", path, v2(text()), files=[("a.png", png())])
    assert (answer.status, answer.faults) == (400, {"attachments.0"})


async def test_an_edit_keeps_the_files_it_shows_and_the_v2_flag(place: Place) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    posted = await ask(sandbox, "POST", path, v2(gallery("attachment://a.png")), files=[("a.png", png())])
    where = f"{path}/{posted.json['id']}"
    url = posted.json["components"][0]["items"][0]["media"]["url"]
    # An edit may name the file by the address that the message has for it.
    again = await ask(sandbox, "PATCH", where, {"components": [text("new"), gallery(url)], "flags": V2})
    assert again.json["components"][1]["items"][0]["media"]["attachment_id"]
    assert channel.messages[0].media[0].data == png()
    content = await ask(sandbox, "PATCH", where, {"content": "x", "flags": 0})
    assert content.faults == {"content"}
    gone = await ask(sandbox, "PATCH", where, {"components": [text("only text")], "attachments": []})
    assert gone.status == 200
    assert channel.messages[0].media == []
    assert channel.messages[0].v2
    empty = await ask(sandbox, "PATCH", where, {"components": []})
    assert empty.code == 50006
    assert channel.messages[0].text == "only text"


async def test_a_plain_message_becomes_v2_only_without_its_content(place: Place) -> None:
    sandbox, channel = place
    path = f"/channels/{channel.id}/messages"
    posted = await ask(sandbox, "POST", path, {"content": "old"})
    where = f"{path}/{posted.json['id']}"
    assert (await ask(sandbox, "PATCH", where, v2(text()))).faults == {"content"}
    assert (await ask(sandbox, "PATCH", where, v2(text(), content=None))).status == 200
    assert channel.messages[0].text == "t"


@pytest.mark.parametrize(("tier", "size"), [(0, 10 * MIB), (2, 50 * MIB)])
async def test_a_file_over_the_limit_of_the_server_is_refused(place: Place, tier: int, size: int) -> None:
    sandbox, channel = place
    assert channel.guild is not None
    channel.guild.boost_tier = tier
    path = f"/channels/{channel.id}/messages"
    over = await ask(sandbox, "POST", path, {"content": "x"}, files=[("a.bin", b"0" * (size + 1))])
    assert (over.status, over.code) == (413, 40005)
    exact = await ask(sandbox, "POST", path, {"content": "x"}, files=[("a.bin", b"0" * size)])
    assert exact.status == 200


@pytest.mark.parametrize(
    ("name", "data", "kind", "size"),
    [
        ("cat one.PNG", png(4, 3), "image/png", (4, 3)),
        ("not.png", b"text", "image/png", (None, None)),
        ("x;y\u202e.txt", b"x", "text/plain; charset=utf-8", (None, None)),
        ("raw", png(), None, (None, None)),
    ],
)
async def test_type_comes_from_the_name_and_size_from_the_bytes(
    place: Place, name: str, data: bytes, kind: str | None, size: tuple[int | None, int | None]
) -> None:
    sandbox, channel = place
    posted = await ask(sandbox, "POST", f"/channels/{channel.id}/messages", {"content": "x"}, files=[(name, data)])
    [attachment] = posted.json["attachments"]
    assert (attachment.get("content_type"), attachment["size"]) == (kind, len(data))
    assert (attachment.get("width"), attachment.get("height")) == size
    assert attachment["filename"] in {"cat_one.PNG", "not.png", "xy.txt", "raw"}


async def test_broken_json_is_refused(place: Place) -> None:
    sandbox, channel = place
    url = f"{sandbox.api_url}/channels/{channel.id}/messages"
    headers = {"Authorization": f"Bot {sandbox.token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (400, 50109)
