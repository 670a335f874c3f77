"""From the options of `python -m sandbox` to running stand-ins, and back to a clean machine."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sandbox.demo.background import Background, ending_signals, undisturbed
from sandbox.demo.bot_process import BotFailed, BotProcess, free_port
from sandbox.demo.clips import Keeper, default_folder
from sandbox.demo.once import StepFailed, last_line, walk
from sandbox.demo.picture import save_posted_result
from sandbox.demo.session import Session
from sandbox.demo.stand import CHANNELS, GUILD, Stand, export_lines, write_env_file
from sandbox.discord import SandboxError

ONCE_RENDER_SECONDS = 0.5
TYPED_RENDER_SECONDS = 3.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Options:
    """What `demo` was asked for. `render_seconds` None is a good value for the kind of demo."""

    once: bool = False
    keep: Path | None = None
    render_seconds: float | None = None
    show_log: bool = False
    picture: Path | None = None


def at_terminal() -> bool:
    """Whether there is somebody who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def demo(options: Options) -> int:
    """Runs the try-out and returns the exit status."""
    once = options.once or not at_terminal()
    errors = Console(stderr=True)
    if once and not options.once:
        _say(errors, "There is no terminal to ask at, so this does what --once does.")
    seconds = options.render_seconds
    if seconds is None:
        seconds = ONCE_RENDER_SECONDS if once else TYPED_RENDER_SECONDS
    keeper = Keeper(options.keep or default_folder())
    with ending_signals():
        try:
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
            with _both(Stand(render_seconds=seconds), show_log=options.show_log, errors=errors) as running:
                if once:
                    return _once(*running, keeper, errors, options.picture)
                return _typed(*running, keeper)
        except (BotFailed, StepFailed, SandboxError, OSError) as error:
            _say(errors, f"The try-out failed. {error}")
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED if once else 0


def alone(stand: Stand, bot_port: int, env_file: Path | None) -> int:
    """Runs the stand-ins for a bot that somebody else starts; until a signal, or `quit` at a terminal."""
    with ending_signals(), Background() as background:
        try:
            _start(stand, background)
        except OSError as error:
            _say(Console(stderr=True), f"The stand-ins cannot start: {error}")
            return 1
        except KeyboardInterrupt:
            return 0
        try:
            environment = stand.environment(
                bot_port=bot_port, database="data/sandbox/cinecord.db", files="data/sandbox/files"
            )
            _tell(stand, environment, env_file)
            if env_file is not None:
                write_env_file(env_file, environment)
            _serve(stand, background)
        except KeyboardInterrupt:
            return 0
        except OSError as error:
            _say(Console(stderr=True), f"The settings cannot be written: {error}")
            return 1
        finally:
            _stop(stand, background)
        return 0


def _start(stand: Stand, background: Background) -> None:
    """Whole or not at all: an interrupt waits until it is done, and then stops it again."""
    with undisturbed() as came:
        background.run(stand.start())
    if came:
        _stop(stand, background)
        raise KeyboardInterrupt


def _stop(stand: Stand, background: Background) -> None:
    with undisturbed():
        background.run(stand.stop())


def _serve(stand: Stand, background: Background) -> None:
    if at_terminal():
        Session(stand, background, Keeper(default_folder())).run()
    else:
        while True:
            time.sleep(3600)


def _tell(stand: Stand, environment: dict[str, str], env_file: Path | None) -> None:
    people = "alice (a member) and mira (a moderator)"
    lines = [
        "Discord and Cloudflare stand in on this machine. Start the bot in another terminal, after these settings:",
        "",
        *export_lines(environment),
        "",
        (
            f"or, from the file: set -a; . {env_file}; set +a"
            if env_file
            else "(--env-file bot.env writes them to a file.)"
        ),
        "",
        f"    {_bot_command()}",
        "",
        f"Server: {GUILD}, with {', '.join(f'#{name}' for name in CHANNELS)}, {people}.",
        f"HTTP control: http://{stand.discord.cdn_host}/sandbox/… and {stand.cloudflare.base_url}/sandbox/…",
        f"(curl http://{stand.discord.cdn_host}/sandbox/ lists the paths). Ctrl-C ends it.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _bot_command() -> str:
    """How this Python starts the bot, as it is typed in this folder."""
    script = Path(sys.executable).with_name("cinecord")
    if not script.is_file():
        return f"{shlex.quote(sys.executable)} -m bot run"
    here = script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script
    return f"{shlex.quote(str(here))} run"


@contextmanager
def _both(stand: Stand, *, show_log: bool, errors: Console) -> Iterator[tuple[Stand, Background, BotProcess]]:
    """Stand-ins and bot, ready; afterwards nothing of them is left."""
    with tempfile.TemporaryDirectory(prefix="cinecord-demo-") as name, Background() as background:
        folder = Path(name)
        _start(stand, background)
        port = free_port()
        settings = stand.environment(bot_port=port, database=f"{folder}/cinecord.db", files=folder / "files")
        bot = BotProcess(settings | _impatient(stand), folder, show_log=show_log)
        try:
            bot.start()
            with errors.status("Starting Discord's and Cloudflare's stand-ins, and the bot …"):
                background.run(bot.wait_ready(stand))
            yield stand, background, bot
        finally:
            bot.stop()
            _stop(stand, background)


def _impatient(stand: Stand) -> dict[str, str]:
    """Settings for somebody who waits: a lost video is given up soon, and does not hold up the next one."""
    return {
        "CINECORD_CLOUDFLARE__TIMEOUT_SECONDS": f"{stand.timeout_seconds:g}",
        "CINECORD_QUEUE__PER_USER_RUNNING": "2",
    }


def _once(
    stand: Stand, background: Background, bot: BotProcess, keeper: Keeper, errors: Console, picture: Path | None
) -> int:
    started = time.monotonic()
    # A line must arrive whatever the reader's encoding is.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    messages = []
    try:
        for done in walk(stand, background, keeper, bot.check, errors):
            messages.append(done.message)
            _line(done.line)
        if picture is not None:
            save_posted_result(messages[0], picture)
    except (StepFailed, SandboxError) as error:
        raise StepFailed(f"{error}{bot.last_words()}") from error
    _line(last_line(stand, started))
    return 0


def _typed(stand: Stand, background: Background, bot: BotProcess, keeper: Keeper) -> int:
    session = Session(stand, background, keeper, bot=bot)
    try:
        session.run()
    finally:
        session.goodbye()
    return 0


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(errors: Console, text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
