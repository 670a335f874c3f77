"""`cinecord check`: what the settings lead to, tried without spending anything, and what to do about each trouble."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx

from bot.cloudflare import CloudflareClient
from bot.cloudflare_errors import as_object, parse_json
from bot.config import Settings, StorageKind
from bot.errors import CinecordError
from bot.services import open_storage
from bot.store.database import Database
from bot.store.migrate import check_known, revision
from bot.store.tickets import Tickets

Say = Callable[[str], None]


async def run_checks(settings: Settings, say: Say) -> int:
    """Say one line a check. Returns 0 if the bot can run, 1 otherwise."""
    checks = (_database, _discord, _cloudflare, _storage)
    troubles = 0
    for check in checks:
        name = check.__name__.lstrip("_")
        try:
            say(f"ok       {name}: {await check(settings)}")
        except (CinecordError, httpx.HTTPError, OSError) as error:
            troubles += 1
            say(f"trouble  {name}: {_trouble(name, error, settings)}")
    say(_upload_advice(settings))
    return 1 if troubles else 0


def _trouble(name: str, error: Exception, settings: Settings) -> str:
    """What went wrong, and what to do."""
    text = error.cause if isinstance(error, CinecordError) else (str(error) or type(error).__name__)
    if name == "cloudflare" and ("status 401" in text or "status 403" in text):
        return (
            "Cloudflare refuses cloudflare.api_token: make one with the permissions AI Gateway Run and AI Gateway Read "
            f"for the account {settings.cloudflare.account_id} (cloudflare.account_id)"
        )
    if isinstance(error, httpx.TransportError) or "ConnectError" in text:
        url = settings.discord.api_url if name == "discord" else settings.cloudflare.api_url
        return f"cannot reach {urlsplit(url).hostname}: is this machine online? ({text})"
    return text


async def _database(settings: Settings) -> str:
    database = Database(settings.database.url)
    try:
        found = await revision(database)
    finally:
        await database.close()
    check_known(found)
    return f"revision {found}" if found else "empty; `cinecord run` sets it up"


async def _discord(settings: Settings) -> str:
    token = settings.discord.token.get_secret_value()
    async with httpx.AsyncClient(timeout=15) as client:
        answer = await client.get(f"{settings.discord.api_url}/users/@me", headers={"Authorization": f"Bot {token}"})
    if answer.status_code == 401:
        raise CinecordError("", cause="Discord refuses discord.token: copy it again from the application's Bot page")
    answer.raise_for_status()
    found = as_object(parse_json(answer.content))
    if found is None or "username" not in found:
        raise CinecordError("", cause=f"what answers at discord.api_url ({settings.discord.api_url}) is not Discord")
    return f"logged in as {str(found['username'])[:40]!r}"


async def _cloudflare(settings: Settings) -> str:
    client = CloudflareClient(settings.cloudflare)
    try:
        await client.find_log("check", since=time.time())
    finally:
        await client.aclose()
    return (
        "the token reads the gateway's log, which recovery after a crash uses; "
        "AI Gateway Run and the credits show at the first video"
    )


async def _storage(settings: Settings) -> str:
    database = Database(settings.database.url)
    storage = open_storage(settings, Tickets(database), signing_key=bytes(32))
    key = "checks/check.txt"
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "check.txt"
            path.write_text("cinecord", "utf-8")
            await storage.save(key, path)
        await storage.delete(key)
    finally:
        await storage.aclose()
        await database.close()
    return f"{settings.storage.kind.value} takes files and gives them up"


def _upload_advice(settings: Settings) -> str:
    if settings.storage.kind is StorageKind.S3:
        return "ok       uploads: the model uploads to the bucket by presigned links"
    if settings.http.public_url:
        return (
            f"untried  uploads: the model uploads to {settings.http.public_url}. While the bot runs, "
            f"{settings.http.public_url}/healthz must answer from outside"
        )
    return (
        "warning  uploads: the model has no place to upload to. Cloudflare's shared xAI account refuses requests then "
        "(Zero Data Retention). Set http.public_url to an HTTPS address that leads to http.listen, or use "
        'storage.kind = "s3". With an xAI key of your own at Cloudflare you may not need either.'
    )
