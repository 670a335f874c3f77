"""Posted videos on disk, where they stay when the try-out is over."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox.cloudflare.media import probe
from sandbox.discord import Message


@dataclass(frozen=True)
class Clip:
    """A kept mp4: length in seconds, size in pixels and bytes, all as the file itself has them."""

    path: Path
    seconds: float
    width: int
    height: int
    size: int

    @property
    def facts(self) -> str:
        return f"{self.seconds:.1f} s  {self.width}×{self.height}  {round(self.size / 1024)} KB"


def default_folder() -> Path:
    """A folder for one try-out, by its time."""
    return Path.cwd() / "demo-videos" / time.strftime("%Y-%m-%d-%H%M%S")


class Keeper:
    """Writes clips as 1-generate.mp4, 2-extend.mp4 … The folder is made when there is something to keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips: list[Clip] = []

    def keep(self, message: Message, name: str) -> Clip | None:
        """The message's video, kept; None where it shows none. Raises UndecodableError and OSError."""
        data = next((m.data for m in message.media if m.data and (m.content_type or "").startswith("video/")), None)
        if data is None:
            return None
        path = self.new_path(f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-') or 'video'}.mp4")
        path.write_bytes(data)
        source = probe(path)
        clip = Clip(path, source.seconds, source.width, source.height, len(data))
        self.clips.append(clip)
        return clip

    def new_path(self, name: str) -> Path:
        """A path in the folder that nothing has yet, numbered by the clips so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(self.clips) + 1
        while (path := self.folder / f"{number}-{name}").exists():
            number += 1
        return path.absolute()
