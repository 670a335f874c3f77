"""The folder: keys, atomic takeover, links, tickets, temporary files."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.config import is_loopback
from bot.errors import StorageError
from bot.storage import FolderStorage, Ticket, check_key, hash_token

KEY = "videos/01hv.mp4"
NOW = 1_800_000_000.0


class Issued:
    """A TicketBook that only remembers what was issued."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}

    async def issue(self, token_hash: str, ticket: Ticket) -> None:
        self.tickets[token_hash] = ticket

    async def take(self, token_hash: str) -> Ticket | None:
        raise AssertionError(token_hash)

    async def settle(self, token_hash: str, *, stored: bool) -> None:
        raise AssertionError(token_hash, stored)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def folder(root: Path, *, public_url: str | None = "https://bot.example/", **more: object) -> FolderStorage:
    options: dict[str, object] = {"tickets": Issued(), "clock": Clock(), "new_token": lambda: "token", **more}
    return FolderStorage(root / "data", public_url=public_url, signing_key=b"k" * 32, **options)  # type: ignore[arg-type]


def written(path: Path, content: bytes = b"bytes") -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("key", [KEY, "images/" + "0f" * 32 + ".jpg", "a/b/c/d/E_f-9.webp"])
def test_a_key_is_taken_as_it_is(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x.mp4",
        "/videos/x.mp4",
        "../videos/x.mp4",
        "videos/../x.mp4",
        "videos/..mp4",
        "videos//x.mp4",
        "videos/x",
        "videos/x.mp4/",
        "videos/x.mp4\n",
        "videos/x.tar.gz",
        "videos\\x.mp4",
        "videos/é.mp4",
        "videos/x\0.mp4",
        "tmp/x.mp4",
        "a/b/c/d/e/x.mp4",
        "videos/" + "x" * 300 + ".mp4",
    ],
)
async def test_what_is_no_key_reaches_no_file(key: str, tmp_path: Path) -> None:
    storage = folder(tmp_path)
    source = written(tmp_path / "source")
    with pytest.raises(StorageError):
        await storage.save(key, source)
    for call in (storage.size(key), storage.delete(key), storage.read_url(key, seconds=1)):
        with pytest.raises(StorageError):
            await call
    with pytest.raises(StorageError):
        await storage.upload_url(key, job_id="j", seconds=1, max_bytes=1)
    with pytest.raises(StorageError):
        async with storage.local(key):
            pass
    assert source.exists()
    assert not (tmp_path / "data").exists()


async def test_save_takes_the_file_over_and_delete_removes_it(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    source = written(tmp_path / "source", b"first")
    assert await storage.size(KEY) is None
    await storage.save(KEY, source)
    assert not source.exists()
    assert await storage.size(KEY) == 5
    async with storage.local(KEY) as path:
        assert path.read_bytes() == b"first"
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert await storage.size(KEY) is None
    await storage.aclose()


async def test_save_overwrites_while_an_old_reader_keeps_its_bytes(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    await storage.save(KEY, written(tmp_path / "a", b"old"))
    async with storage.local(KEY) as path:
        with path.open("rb") as reader:
            await storage.save(KEY, written(tmp_path / "b", b"newer"))
            assert reader.read() == b"old"
        assert path.read_bytes() == b"newer"


async def test_save_across_disks_copies_first_and_leaves_nothing_behind(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second disk to write to")
    storage = folder(tmp_path)
    source = elsewhere / f"cinecord-test-{os.getpid()}"
    try:
        await storage.save(KEY, written(source, b"far"))
        assert not source.exists()
    finally:
        source.unlink(missing_ok=True)
    async with storage.local(KEY) as path:
        assert path.read_bytes() == b"far"
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


async def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    with pytest.raises(StorageError, match="not in the folder"):
        async with storage.local(KEY):
            pass
    with pytest.raises(StorageError, match="cannot keep"):
        await storage.save(KEY, tmp_path / "nothing")


async def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    written(tmp_path / "data", b"a file, not a folder")
    with pytest.raises(StorageError, match="cannot keep"):
        await folder(tmp_path).save(KEY, written(tmp_path / "source"))
    with pytest.raises(StorageError, match="cannot write a temporary file"):
        await folder(tmp_path).new_temporary()


async def test_read_links_name_the_key_and_end(tmp_path: Path) -> None:
    clock = Clock()
    storage = folder(tmp_path, clock=clock)
    url = await storage.read_url(KEY, seconds=60)
    assert url is not None
    assert url.startswith(f"https://bot.example/media/{KEY}?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query["expires"] == str(int(NOW) + 60)
    assert storage.may_read(KEY, **query)
    assert not storage.may_read("videos/02.mp4", **query)
    assert not storage.may_read(KEY, expires=str(int(NOW) + 61), signature=query["signature"])
    assert not storage.may_read(KEY, expires=query["expires"], signature=query["signature"][:-1] + "x")
    assert not storage.may_read(KEY, expires="", signature="é\udc80")
    clock.now += 60
    assert not storage.may_read(KEY, **query)


async def test_another_signing_key_makes_another_signature(tmp_path: Path) -> None:
    url = await folder(tmp_path).read_url(KEY, seconds=60)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url or "").query).items()}
    other = FolderStorage(tmp_path, public_url=None, tickets=Issued(), signing_key=b"o" * 32, clock=Clock())
    assert not other.may_read(KEY, **query)
    with pytest.raises(ValueError, match="32 bytes"):
        FolderStorage(tmp_path, public_url=None, tickets=Issued(), signing_key=b"short")


async def test_an_upload_link_is_a_ticket_known_by_its_hash(tmp_path: Path) -> None:
    book = Issued()
    url = await folder(tmp_path, tickets=book).upload_url(KEY, job_id="job", seconds=900, max_bytes=1000)
    assert url == "https://bot.example/tickets/token"
    assert book.tickets == {hash_token("token"): Ticket("job", KEY, 1000, NOW + 900)}
    assert "token" not in book.tickets


async def test_tokens_cannot_be_guessed(tmp_path: Path) -> None:
    book = Issued()
    storage = FolderStorage(tmp_path, public_url="https://bot.example", tickets=book, signing_key=b"k" * 32)
    urls = {await storage.upload_url(KEY, job_id="job", seconds=900, max_bytes=1) for _ in range(20)}
    assert len(urls) == 20
    assert all(url is not None and len(url.rpartition("/")[2]) >= 43 for url in urls)


async def test_without_a_public_url_there_are_no_links(tmp_path: Path) -> None:
    book = Issued()
    storage = folder(tmp_path, public_url=None, tickets=book)
    assert await storage.read_url(KEY, seconds=60) is None
    assert await storage.upload_url(KEY, job_id="job", seconds=60, max_bytes=1) is None
    assert book.tickets == {}


async def test_only_stale_temporary_files_are_swept(tmp_path: Path) -> None:
    storage = folder(tmp_path)
    assert await storage.sweep_temporary(60) == 0
    await storage.save(KEY, written(tmp_path / "kept"))
    old, new = await storage.new_temporary(), await storage.new_temporary()
    os.utime(old, (NOW - 61, NOW - 61))
    os.utime(new, (NOW - 59, NOW - 59))
    os.utime(storage.path(KEY), (0, 0))
    assert await storage.sweep_temporary(60) == 1
    assert not old.exists()
    assert new.exists()
    assert await storage.size(KEY) == 5


def test_loopback_is_this_machine_only() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("", "10.0.0.1", "localhost.example", "127.0.0.1.example", "0.0.0.0"))
