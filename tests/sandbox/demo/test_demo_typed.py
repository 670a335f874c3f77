"""Typed lines as commands, Discord's text marks as plain words, and what Tab offers."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.demo.complete import Completer
from sandbox.demo.marks import Kind, lines_of
from sandbox.demo.stand import Stand
from sandbox.demo.typed import Slash, all_slashes, find_slash, read_values
from sandbox.discord import File, SandboxError

COMMANDS: list[dict[str, Any]] = [
    {
        "type": 1,
        "name": "video",
        "options": [
            {
                "type": 1,
                "name": "generate",
                "description": "Make",
                "options": [
                    {"type": 3, "name": "prompt", "required": True},
                    {"type": 11, "name": "image"},
                    {"type": 4, "name": "duration"},
                    {"type": 10, "name": "start"},
                    {"type": 5, "name": "loop"},
                    {"type": 6, "name": "member"},
                    {"type": 3, "name": "aspect_ratio", "choices": [{"name": "Wide", "value": "16:9"}]},
                    {"type": 3, "name": "source", "autocomplete": True},
                ],
            }
        ],
    },
    {"type": 1, "name": "queue", "options": [{"type": 1, "name": "show"}]},
    {"type": 3, "name": "Animate image"},
]
SLASHES = all_slashes(COMMANDS)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    found = Stand()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


def read(stand: Stand, line: str, folder: Path | None = None) -> dict[str, Any]:
    slash, rest = find_slash(line, SLASHES)

    def pick(name: str, text: str, _values: dict[str, Any]) -> str:
        return f"{name} picked for {text}"

    return read_values(slash, rest, stand.channel, pick, [folder or Path()])


def test_paths_of_commands() -> None:
    assert [slash.path for slash in SLASHES] == ["video generate", "queue show"]
    assert find_slash("/Video  generate a fox", SLASHES) == (SLASHES[0], "a fox")
    assert find_slash("/queue show", SLASHES) == (SLASHES[1], "")
    for line in ("/", "/video", "/video generated x", "/nothing"):
        with pytest.raises(SandboxError, match="There is no such command"):
            find_slash(line, SLASHES)


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("a fox in the snow", {"prompt": "a fox in the snow"}),
        ("a fox duration:4", {"prompt": "a fox", "duration": 4}),
        ("duration:4 prompt:a fox: red and duration", {"duration": 4, "prompt": "a fox: red and duration"}),
        ('"at duration:9 it ends" duration: 4', {"prompt": "at duration:9 it ends", "duration": 4}),
        ("x aspect_ratio:16:9", {"prompt": "x", "aspect_ratio": "16:9"}),
        ("x aspect_ratio:wide", {"prompt": "x", "aspect_ratio": "16:9"}),
        ("x aspect_ratio:16:9 start:1.5 loop:yes", {"prompt": "x", "aspect_ratio": "16:9", "start": 1.5, "loop": True}),
        ("x source:fox", {"prompt": "x", "source": "source picked for fox"}),
        ("xduration:4", {"prompt": "xduration:4"}),
        ("", {}),
    ],
)
async def test_values(stand: Stand, typed: str, values: dict[str, Any]) -> None:
    assert read(stand, f"/video generate {typed}") == values


async def test_files_and_people(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "my cat.png").write_bytes(b"cat")
    found = read(stand, "/video generate x image:my cat.png member:@Mira", tmp_path)
    assert isinstance(found["image"], File)
    assert (found["image"].name, found["image"].data) == ("my cat.png", b"cat")
    assert found["member"] is stand.people["mira"]
    assert read(stand, f'/video generate x image:"{tmp_path}/my cat.png"')["image"].data == b"cat"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("x duration:four", "a whole number"),
        ("x start:soon", "a number"),
        ("x loop:maybe", "yes or no"),
        ("x image:missing.png", "There is no file missing.png"),
        ("x image:", "There is no file"),
        ("x member:nobody", "There is no 'nobody' here"),
        ("x aspect_ratio:7:7", "aspect_ratio: 7:7 is none of 16:9"),
        ("x prompt:y", "belongs to no option"),
    ],
)
async def test_what_cannot_be_read_is_told(stand: Stand, typed: str, sentence: str) -> None:
    with pytest.raises(SandboxError, match=sentence):
        read(stand, f"/video generate {typed}")


async def test_marks_become_what_a_reader_sees(stand: Stand) -> None:
    alice = stand.people["alice"]
    text = (
        f"**In line: number 1**, {alice.mention}\n> a \\*fox\\* \x1b[31m in \\`\\`\\`\n"
        f"-# 4 s · <t:{int(time.time()) - 7300}:R>\n"
        f"<#{stand.channel.id}> <@99> `id` [open](http://x/y)\nhttp://a/_b_ *"
    )
    lines = lines_of(text, stand.discord)
    assert [line.kind for line in lines] == [Kind.NORMAL, Kind.QUOTE, Kind.SMALL, Kind.NORMAL, Kind.NORMAL]
    assert [line.text for line in lines] == [
        "In line: number 1, @Alice",
        "a *fox* [31m in ```",
        "4 s · 2 h ago",
        "#general @unknown-user id open (http://x/y)",
        "http://a/_b_ *",
    ]
    assert [(span.bold, span.mention) for span in lines[0].spans] == [(True, False), (False, False), (False, True)]


class Offered:
    """As much of a session as completion looks at."""

    def slashes(self) -> list[Slash]:
        return SLASHES

    def visible(self) -> list[Any]:
        return []


def test_tab_offers_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(b"")
    (tmp_path / "cats").mkdir()
    tab = Completer(Offered()).candidates  # type: ignore[arg-type]
    assert tab("", "/v") == ["/video "]
    assert tab("", "mess") == ["messages "]
    assert tab("/video ", "g") == ["generate "]
    assert tab("/video generate a fox ", "dur") == ["duration:"]
    assert tab("/video generate a fox ", "image:ca") == ["image:cat.png", "image:cats/"]
    assert tab("/video generate a fox ", "aspect_ratio:1") == ["aspect_ratio:16:9"]
    assert tab("save ", f"{tmp_path}/cat.") == [f"{tmp_path}/cat.png"]
    assert tab("/video generate a fox ", "image:/no/such/") == []
