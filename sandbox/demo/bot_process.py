"""The bot as a process of its own: started with settings in its environment, watched, and stopped for certain."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.demo.stand import Stand
from sandbox.discord import SandboxTimeout

READY_SECONDS = 30.0
GRACE_SECONDS = 30.0
"""How long a stop waits before it kills: the bot gives jobs at work 20 s."""
_PROJECT = Path(__file__).resolve().parents[2]
_LOG_LINES = 15


class BotFailed(Exception):
    """The bot did not start, or ended by itself. The text holds the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class BotProcess:
    """`python -m bot run` in `folder`. With `show_log` its log goes to this terminal, else to `folder`/bot.log."""

    def __init__(
        self,
        settings: dict[str, str],
        folder: Path,
        *,
        show_log: bool = False,
        command: Sequence[str] = (sys.executable, "-m", "bot", "run"),
    ) -> None:
        self._settings, self._folder, self._show_log, self._command = settings, folder, show_log, command
        self.log = folder / "bot.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Its working folder is the temporary one, and settings of this shell are left out, so that neither a real
        # config.toml nor a real token can get into the try-out. How much it logs is the person's own choice.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CINECORD_") or k.startswith("CINECORD_LOG__")}
        path = os.pathsep.join(filter(None, (str(_PROJECT), os.environ.get("PYTHONPATH"))))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=kept | self._settings | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=None if self._show_log else log,
                stderr=None if self._show_log else log,
                # A Ctrl-C at the terminal is for us; we then stop the bot in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self._process.pid if self._process else 0

    def check(self) -> None:
        """Raises BotFailed if the bot has ended."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise BotFailed(f"The bot has ended by itself (exit code {code}).{self.last_words()}")

    def last_words(self) -> str:
        """The end of the log as a paragraph of its own, empty where there is none."""
        if self._show_log or not self.log.is_file():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join(["", "Its log ends so:", *(f"  {line}" for line in lines)]) if lines else " Its log is empty."

    async def wait_ready(self, stand: Stand, seconds: float = READY_SECONDS) -> None:
        """Until the bot is connected and its commands are there. Raises BotFailed with the cause."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self.check()
            try:
                return await stand.discord.wait_ready(0.2)
            except SandboxTimeout:
                if loop.time() > deadline:
                    raise BotFailed(f"The bot was not ready after {seconds:g} s.{self.last_words()}") from None

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM, and after `grace` seconds, or at a second Ctrl-C, SIGKILL to it and its workers."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(grace)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
