"""The buttons whose custom_id holds an id, so that they work after any restart and for years.

A press becomes an event of the client, `video_button` or `cancel_button`: what it does is in cogs/results.py and
cogs/queue.py, and this file needs to know neither.
"""

import re
from typing import Any, Self

import discord
from discord import ui

PREFIX = "cinecord"
ID = r"[0-9a-z]{20}"

LABELS = {"extend": "Extend", "edit": "Edit", "retry": "Retry", "details": "Details", "delete": "Delete"}
STYLES = {"extend": discord.ButtonStyle.primary, "delete": discord.ButtonStyle.danger}


def cancel_mark(job_id: str) -> str:
    """The custom_id that is on a job's status card, and on nothing else."""
    return f"{PREFIX}:cancel:{job_id}"


def video_mark(video_id: str) -> str:
    """The custom_id that is on a posted video, and on nothing else."""
    return f"{PREFIX}:details:{video_id}"


class VideoButton(
    ui.DynamicItem[ui.Button[Any]],
    template=rf"{PREFIX}:(?P<action>extend|edit|retry|details|delete):(?P<video>{ID})",
):
    """A button of a posted video (or, for Retry, of a failed job)."""

    def __init__(self, action: str, video_id: str, *, disabled: bool = False) -> None:
        super().__init__(
            ui.Button(
                label=LABELS[action],
                style=STYLES.get(action, discord.ButtonStyle.secondary),
                custom_id=f"{PREFIX}:{action}:{video_id}",
                disabled=disabled,
            )
        )
        self.action = action
        self.video_id = video_id

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, _item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], match["video"])

    async def callback(self, interaction: discord.Interaction) -> None:
        interaction.client.dispatch("video_button", interaction, self.action, self.video_id)


class CancelButton(ui.DynamicItem[ui.Button[Any]], template=rf"{PREFIX}:cancel:(?P<job>{ID})"):
    """The button of a status card."""

    def __init__(self, job_id: str, *, disabled: bool = False) -> None:
        super().__init__(
            ui.Button(
                label="Cancel",
                style=discord.ButtonStyle.secondary,
                custom_id=cancel_mark(job_id),
                disabled=disabled,
            )
        )
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, _item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["job"])

    async def callback(self, interaction: discord.Interaction) -> None:
        interaction.client.dispatch("cancel_button", interaction, self.job_id)
