"""One walk through the product: the real bot as a process of its own, Discord and Cloudflare beside it on loopback."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sandbox.cloudflare import CloudflareSandbox
from sandbox.discord import Button, Channel, DiscordSandbox, Guild, Interaction, Member, Message

ROOT = Path(__file__).parents[2]
OPENAPI = Path(os.environ.get("DISCORD_OPENAPI") or ROOT.parent / "shared/reference/discord-openapi.json")
DISCORD_TOKEN = "discord-token-that-nobody-may-read"
API_TOKEN = "cloudflare-token-that-nobody-may-read"
UNFIT = ("Traceback", 'File "', ".py", "sqlite", "Errno")
"""What no person may ever read in Discord."""

T = TypeVar("T")
Row = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    """A server with a channel and two members, new for each test."""

    def __init__(self, discord: DiscordSandbox, name: str) -> None:
        self.guild: Guild = discord.create_guild(name)
        self.channel: Channel = self.guild.create_channel("general")
        self.alice: Member = self.guild.create_member("alice")
        self.bob: Member = self.guild.create_member("bob")


class Journey:
    """The bot, what it talks to, and what a person or an operator can see of it. `env` are the bot's settings."""

    def __init__(self, folder: Path, *, public: bool = True, **discord: Any) -> None:
        openapi = OPENAPI if OPENAPI.is_file() else None
        self.folder = folder
        self.discord = DiscordSandbox(DISCORD_TOKEN, openapi=openapi, **discord)
        self.model = CloudflareSandbox(api_token=API_TOKEN, bracket_filters=False, quick=True)
        self.port = free_port()
        self.public = public
        self.env: dict[str, str] = {}
        self.prompts: list[str] = []
        self.expect_traceback = False
        self.process: asyncio.subprocess.Process | None = None
        self._groups: list[int] = []
        self._log = folder / "bot.log"
        self._log.touch()
        self._places = 0
        self._seen = (0, 0, 0)

    # --- the bot's life

    async def open(self) -> None:
        await self.discord.start()
        await self.model.start()

    async def close(self) -> None:
        """Ends every process of this journey, then the two stand-ins."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()
        self.model.release()
        await self.discord.stop()
        await self.model.stop()

    async def start(self, **env: str) -> None:
        """Starts the bot and waits until it takes commands; `env` is kept for later starts."""
        self.env |= env
        self.discord.commands.__init__()
        with self._log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "run",
                env=self._environment(), cwd=self.folder, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self._groups.append(self.process.pid)
        ready = asyncio.create_task(self.discord.wait_ready(20))
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not ready.done():
            ready.cancel()
            raise AssertionError(f"the bot ended with {self.process.returncode} at its start")
        await ready

    async def stop(self) -> int:
        """Asks the bot to end; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return await self._ended()

    async def kill(self) -> None:
        """kill -9 of the bot; its decoding processes must end by themselves."""
        assert self.process is not None
        group = self.process.pid
        self.process.kill()
        await self._ended()
        await self.until(
            lambda: not members_of(group), f"the processes that the bot left behind: {members_of(group)}", 5
        )

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def _ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(25):
            code = await self.process.wait()
        await self.discord.wait_disconnected(5)
        return code

    def _environment(self) -> dict[str, str]:
        address = f"127.0.0.1:{self.port}"
        given = {
            "DISCORD__TOKEN": DISCORD_TOKEN,
            "DISCORD__API_URL": self.discord.api_url,
            "DISCORD__CDN_HOSTS": self.discord.cdn_host,
            "CLOUDFLARE__ACCOUNT_ID": self.model.account_id,
            "CLOUDFLARE__API_TOKEN": API_TOKEN,
            "CLOUDFLARE__API_URL": self.model.api_url,
            "CLOUDFLARE__TIMEOUT_SECONDS": "10",
            "DATABASE__URL": f"sqlite+aiosqlite:///{self.folder}/cinecord.db",
            "STORAGE__PATH": str(self.folder / "files"),
            "HTTP__LISTEN": address,
            "QUEUE__RETRY_BASE_SECONDS": "0.05",
            **({"HTTP__PUBLIC_URL": f"http://{address}"} if self.public else {}),
            **self.env,
        }
        # A developer's own settings must not reach the bot under test.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CINECORD_")}
        return clean | {"PYTHONPATH": str(ROOT)} | {f"CINECORD_{name}": value for name, value in given.items()}

    # --- what people do

    def place(self, name: str = "Film club") -> Place:
        self._places += 1
        return Place(self.discord, f"{name} {self._places}")

    async def ask(
        self,
        member: Member,
        channel: Channel,
        prompt: str,
        command: str = "generate",
        *,
        force: bool = False,
        **options: Any,
    ) -> Interaction:
        """/video …, answered within Discord's 3 seconds."""
        self.prompts.append(prompt)
        sent = await member.slash(channel, f"video {command}", {"prompt": prompt, **options}, force=force)
        return await self.answered(sent)

    async def answered(self, sent: Interaction) -> Interaction:
        await sent.wait_response(3)
        assert sent.response_seconds is not None
        assert sent.response_seconds < 3
        return sent

    async def told(self, sent: Interaction) -> str:
        """The private answer that a command, button or form ends with."""
        message = await sent.wait_message(10)
        assert message.ephemeral
        assert message.seen_by is sent.user
        return message.text

    async def told_aside(self, sent: Interaction) -> str:
        """The private answer to a button that was acknowledged without words first."""
        await self.answered(sent)
        message = await sent.wait_followup(10)
        assert message.ephemeral
        assert message.seen_by is sent.user
        return message.text

    async def click(self, member: Member, message: Message, label: str) -> Interaction:
        return await self.answered(await member.click(message, label))

    async def submit(
        self, member: Member, opened: Interaction, values: Row | None = None, *, force: bool = False
    ) -> Interaction:
        self.prompts += [value for value in (values or {}).values() if isinstance(value, str) and len(value) > 3]
        return await self.answered(await member.submit(opened, values, force=force))

    # --- what people see

    async def until(self, condition: Callable[[], T | None], what: str, seconds: float = 15) -> T:
        """The condition's first true value. It may also look at files and tables, so it is asked again every 20 ms."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (value := condition()):
            assert loop.time() < deadline, f"waited {seconds} s for {what}; jobs: {self.jobs()}"
            await asyncio.sleep(0.02)
        return value

    async def video(self, channel: Channel, number: int = 1, seconds: float = 15) -> Message:
        """The channel's video number `number` (from 1), once it is posted and noted as posted."""

        def posted() -> Message | None:
            shown = videos(channel)
            return shown[number - 1] if len(shown) >= number else None

        message = await self.until(posted, f"video {number} in #{channel.name}", seconds)
        await self.until(lambda: self.jobs("message_id = ? AND state = 'posted'", message.id), "the post to be noted")
        return message

    async def card(self, channel: Channel, words: str, seconds: float = 10) -> Message:
        """The channel's message with these words and without a video."""
        return await self.until(
            lambda: next((m for m in channel.messages if words in m.text and not m.media), None),
            f"a card with {words!r} in #{channel.name}",
            seconds,
        )

    async def make(self, place: Place, prompt: str = "a lighthouse in the rain", **options: Any) -> Message:
        """A posted video of alice's, with no card left."""
        before, messages = len(videos(place.channel)), len(place.channel.messages)
        await self.told(await self.ask(place.alice, place.channel, prompt, **dict[str, Any]({"duration": 3} | options)))
        message = await self.video(place.channel, before + 1)
        await self.until(lambda: len(place.channel.messages) == messages + 1, "the card to go")
        return message

    # --- what the operator sees

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def minutes_pass(self) -> None:
        """The bot, which is down, stays so for longer than any render takes."""
        with contextlib.closing(sqlite3.connect(self.folder / "cinecord.db")) as connection:
            connection.execute("UPDATE jobs SET submitted_at = submitted_at - 9700")
            connection.commit()

    def rows(self, query: str, *values: Any) -> list[Row]:
        path = self.folder / "cinecord.db"
        if not path.is_file():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(query, values)]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def jobs(self, where: str = "1", *values: Any) -> list[Row]:
        return self.rows(f"SELECT * FROM jobs WHERE {where} ORDER BY created_at, id", *values)

    def job(self, place: Place, number: int = 1) -> Row:
        return self.jobs("guild_id = ?", place.guild.id)[number - 1]

    def money(self, job_id: str) -> str:
        """How a job's money stands."""
        return self.rows("SELECT state FROM ledger WHERE job_id = ?", job_id)[0]["state"]

    async def state(self, job_id: str, *states: str, seconds: float = 15) -> Row:
        """The job, once it is in one of these states."""

        def there() -> Row | None:
            job = self.jobs("id = ?", job_id)[0]
            return job if job["state"] in states else None

        return await self.until(there, f"{job_id} to be {states}", seconds)

    def calls_for(self, job_id: str) -> list[Any]:
        return [call for call in self.model.calls if job_id in call.metadata.values()]

    def files(self, under: str = "") -> list[str]:
        """Every file that the bot keeps, half-made ones too."""
        root = self.folder / "files"
        return sorted(str(p.relative_to(root)) for p in (root / under).rglob("*") if p.is_file())

    # --- at the end of every journey

    def begin(self) -> None:
        """A walk begins: what earlier ones left in the log is not its fault."""
        self._seen = (len(self.log), len(self.discord.violations), len(self.discord.requests))

    def check(self) -> None:
        """What must hold after each walk, whatever happened in it."""
        lines, violations, requests = self._seen
        assert self.discord.violations[violations:] == []
        log = self.log[lines:]
        if not self.expect_traceback:
            assert "Traceback" not in log
            assert "crashed" not in log
        secrets = [DISCORD_TOKEN, API_TOKEN, *self.discord.tokens]
        assert [secret for secret in secrets if secret in log] == []
        assert [prompt for prompt in self.prompts if len(prompt.strip()) > 3 and prompt.strip() in log] == []
        sent = [str(record.json) for record in self.discord.requests[requests:]]
        assert [text for text in sent for word in (*UNFIT, str(self.folder), str(ROOT)) if word in text] == []
        for job in self.jobs():
            charges = self.model.charges_for(job["id"])
            assert len(charges) <= 1, f"{job['id']} was charged {len(charges)} times"
            assert len(self.posts(job["id"])) <= 1, f"{job['id']} was posted more than once"

    def posts(self, job_id: str) -> list[Message]:
        """Every message with this job's video, deleted ones too."""
        places = [*self.discord.world.channels.values()]
        known = [message for channel in places for message in channel.messages] + self.discord.deleted
        return [m for m in known if any(i.filename.endswith(".mp4") for i in m.media) and details_of(m, job_id)]


def members_of(group: int) -> list[int]:
    """The living processes of a process group; empty where there is no /proc to look at."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, _, process_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def videos(channel: Channel) -> list[Message]:
    """The messages of a channel that show a video."""
    return [message for message in channel.messages if any(item.filename.endswith(".mp4") for item in message.media)]


def details_of(message: Message, job_id: str) -> bool:
    return message.find_button(custom_id=f"cinecord:details:{job_id}") is not None


def video_id(message: Message) -> str:
    """The id in a posted video's buttons."""
    custom_id = button(message, "Details").custom_id
    assert custom_id is not None
    return custom_id.rpartition(":")[2]


def button(message: Message, label: str) -> Button:
    found = message.find_button(label=label)
    assert found is not None, f"no {label} on {message!r}"
    return found
