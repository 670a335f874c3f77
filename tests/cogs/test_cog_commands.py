"""The commands as they are registered: DESIGN.md's contract, and Discord's rules, which simcord does not check."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cogs.stage import Stage

SUBCOMMAND, STRING, INTEGER, NUMBER, ATTACHMENT = 1, 3, 4, 10, 11
RATIOS = ["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3"]
RESOLUTIONS = ["480p", "720p"]
SIZES = ["848x480", "1696x960", "1280x720", "1920x1080"]

PROMPT = ("prompt", STRING, True, None)
SHAPE = [("aspect_ratio", STRING, False, RATIOS), ("resolution", STRING, False, RESOLUTIONS)]
CONTRACT = {
    "generate": [
        PROMPT,
        ("image", ATTACHMENT, False, None),
        ("duration", INTEGER, False, None),
        *SHAPE,
        ("size", STRING, False, SIZES),
    ],
    "reference": [
        PROMPT,
        ("image1", ATTACHMENT, True, None),
        *((f"image{n}", ATTACHMENT, False, None) for n in range(2, 11)),
        ("duration", INTEGER, False, None),
        *SHAPE,
    ],
    "edit": [
        PROMPT,
        ("video", ATTACHMENT, False, None),
        ("source", STRING, False, None),
        ("start", NUMBER, False, None),
    ],
    "extend": [
        PROMPT,
        ("video", ATTACHMENT, False, None),
        ("source", STRING, False, None),
        ("duration", INTEGER, False, None),
    ],
}


def registered(stage: Stage) -> list[dict[str, Any]]:
    """What the bot sent to Discord in its one bulk overwrite."""
    sent = [request for request in stage.env.http_requests if request.method == "PUT" and "commands" in request.path]
    assert len(sent) == 1
    assert isinstance(sent[0].json, list)
    return sent[0].json


def nodes(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield command
    for option in command.get("options") or []:
        yield from nodes(option)


@pytest.fixture
def video(stage: Stage) -> dict[str, Any]:
    commands = registered(stage)
    assert [command["name"] for command in commands] == ["video"]
    return commands[0]


def test_names_order_types_and_choices_are_the_contract(video: dict[str, Any]) -> None:
    found = {
        sub["name"]: [
            (
                option["name"],
                option["type"],
                bool(option.get("required")),
                [choice["value"] for choice in option["choices"]] if option.get("choices") else None,
            )
            for option in sub["options"]
        ]
        for sub in video["options"]
    }
    assert found == CONTRACT
    assert all(sub["type"] == SUBCOMMAND for sub in video["options"])


def test_bounds_are_the_models(video: dict[str, Any]) -> None:
    bounds = {
        (sub["name"], option["name"]): (option.get("min_value"), option.get("max_value"))
        for sub in video["options"]
        for option in sub["options"]
        if option["type"] in {INTEGER, NUMBER}
    }
    assert bounds == {
        ("generate", "duration"): (1, 15),
        ("reference", "duration"): (1, 15),
        ("edit", "start"): (0, 600),
        ("extend", "duration"): (2, 10),
    }
    prompts = [sub["options"][0] for sub in video["options"]]
    assert {(prompt.get("min_length"), prompt.get("max_length")) for prompt in prompts} == {(1, 6000)}


def test_sources_are_completed_while_typing(video: dict[str, Any]) -> None:
    completed = [
        (sub["name"], option["name"])
        for sub in video["options"]
        for option in sub["options"]
        if option.get("autocomplete")
    ]
    assert completed == [("edit", "source"), ("extend", "source")]


def test_only_in_servers(video: dict[str, Any]) -> None:
    assert video.get("contexts", [0]) == [0]
    assert video.get("dm_permission") is not True
    assert video.get("integration_types", [0]) == [0]


def test_discords_limits_hold(video: dict[str, Any]) -> None:
    for node in nodes(video):
        assert re.fullmatch(r"[a-z0-9_-]{1,32}", node["name"])
        assert 1 <= len(node["description"]) <= 100
        options = node.get("options") or []
        assert len(options) <= 25
        names = [option["name"] for option in options]
        assert len(set(names)) == len(names)
        required = [bool(option.get("required")) for option in options if option["type"] != SUBCOMMAND]
        assert required == sorted(required, reverse=True), f"{node['name']}: a required option after an optional one"
        choices = node.get("choices") or []
        assert len(choices) <= 25
        assert all(1 <= len(choice["name"]) <= 100 and len(str(choice["value"])) <= 100 for choice in choices)
        assert not (choices and node.get("autocomplete"))
    assert letters(video) <= 8000


def letters(command: dict[str, Any]) -> int:
    """Discord: name, description and value of a command, its options and choices count together."""
    count = 0
    for node in nodes(command):
        count += len(node["name"]) + len(node["description"])
        for choice in node.get("choices") or []:
            count += len(choice["name"]) + len(str(choice["value"]))
    return count
