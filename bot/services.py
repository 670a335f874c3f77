"""Everything that the cogs share, opened once in the right order and closed in the other."""

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from bot.arrivals import Arrivals
from bot.attachments import Fetcher
from bot.bucket import BucketStorage
from bot.cloudflare import CloudflareClient
from bot.config import Settings, StorageKind
from bot.decoders import Decoders
from bot.errors import CinecordError, ConfigError
from bot.files import Files
from bot.intake import Intake
from bot.library import Library
from bot.metrics import Metrics
from bot.rendering import Renderer
from bot.storage import FolderStorage, Storage
from bot.store import keys
from bot.store.database import Database
from bot.store.jobs import Jobs
from bot.store.ledger import MICRO
from bot.store.migrate import upgrade
from bot.store.tickets import Tickets
from bot.store.videos import Videos
from bot.web import WebServer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """The service without Discord. Made by `open_services`."""

    settings: Settings
    jobs: Jobs
    videos: Videos
    storage: Storage
    files: Files
    intake: Intake
    renderer: Renderer
    metrics: Metrics
    web: WebServer
    library: Library
    _stack: AsyncExitStack

    async def aclose(self) -> None:
        """Stop the web server and close every connection, process and file."""
        await self._stack.aclose()


async def open_services(settings: Settings, *, clock: Callable[[], float] = time.time) -> Services:
    """Open the database (bringing it up to date), the storage and the web server.

    Raises:
        ConfigError: an address cannot be listened on, or a setting does not fit the machine.
        StoreError, StorageError: the database or the storage cannot be opened.
    """
    async with AsyncExitStack() as stack:
        database = Database(settings.database.url)
        stack.push_async_callback(database.close)
        if await upgrade(database):
            log.info("store.upgraded")
        tickets = Tickets(database, clock=clock)
        scratch = _scratch(settings, stack)
        links = await keys.get_key(database, keys.LINKS)
        storage = open_storage(settings, tickets, signing_key=links, clock=clock)
        stack.push_async_callback(storage.aclose)
        if isinstance(storage, FolderStorage):
            await tickets.reopen()
            await storage.sweep_temporary(older_than=3600)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=httpx.Timeout(30, pool=None)))
        decoders = Decoders()
        stack.push_async_callback(decoders.aclose)
        cloudflare = CloudflareClient(settings.cloudflare)
        stack.push_async_callback(cloudflare.aclose)
        metrics = Metrics()
        jobs = Jobs(
            database,
            settings.queue,
            monthly_limit=int(settings.budget.monthly_usd * MICRO),
            clock=lambda: int(clock() * 1000),
        )
        files = Files(storage, jobs)
        videos = Videos(database, clock=clock)
        library = Library(videos=videos, storage=storage, decoders=decoders)
        renderer = Renderer(
            jobs=jobs,
            videos=videos,
            storage=storage,
            cloudflare=cloudflare,
            arrivals=Arrivals(),
            settings=settings.cloudflare,
            queue=settings.queue,
            end_user_key=await keys.get_key(database, keys.END_USERS),
            scratch=scratch,
            clock=clock,
        )
        stack.push_async_callback(renderer.aclose)

        async def health() -> Mapping[str, bool]:
            return {"database": await _answers(database), "storage": await _reachable(storage)}

        web = WebServer(
            settings.http.listen,
            storage=storage if isinstance(storage, FolderStorage) else None,
            tickets=tickets,
            on_upload=renderer.arrived,
            health=health,
            metrics=metrics.registry,
            grace_seconds=5.0,
        )
        await web.start()
        stack.push_async_callback(web.stop)
        return Services(
            settings=settings,
            jobs=jobs,
            videos=videos,
            storage=storage,
            files=files,
            intake=Intake(
                jobs=jobs,
                storage=storage,
                files=files,
                library=library,
                fetcher=Fetcher(http, cdn_hosts=settings.discord.cdn_hosts),
                decoders=decoders,
                prices=settings.cloudflare.price_per_second,
                scratch=scratch,
            ),
            renderer=renderer,
            metrics=metrics,
            web=web,
            library=library,
            _stack=stack.pop_all(),
        )


def _scratch(settings: Settings, stack: AsyncExitStack) -> Path:
    # On the folder's own disk, so that keeping a finished file is a rename.
    if settings.storage.kind is StorageKind.FOLDER:
        path = settings.storage.path / "tmp"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"storage.path: the folder {path} cannot be made: {error.strerror}") from error
        return path
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cinecord-")))


def open_storage(
    settings: Settings, tickets: Tickets, *, signing_key: bytes, clock: Callable[[], float] = time.time
) -> FolderStorage | BucketStorage:
    """The storage that the settings name."""
    s3 = settings.storage.s3
    if settings.storage.kind is StorageKind.S3 and s3.access_key_id and s3.secret_access_key:
        return BucketStorage(
            bucket=s3.bucket,
            endpoint=s3.endpoint,
            region=s3.region,
            access_key_id=s3.access_key_id.get_secret_value(),
            secret_access_key=s3.secret_access_key,
            prefix=s3.prefix,
        )
    return FolderStorage(
        settings.storage.path,
        public_url=settings.http.public_url,
        tickets=tickets,
        signing_key=signing_key,
        clock=clock,
    )


async def _answers(database: Database) -> bool:
    try:
        await database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())
    except CinecordError:
        return False
    return True


async def _reachable(storage: Storage) -> bool:
    try:
        await storage.size("videos/health-check.mp4")
    except CinecordError:
        return False
    return True
