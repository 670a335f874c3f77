"""The bucket, against moto's S3 server on loopback."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from bot.bucket import BucketStorage
from bot.errors import ConfigError, StorageError

KEY = "videos/01hv.mp4"
SECRET = "the-secret-access-key"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def s3(endpoint: str) -> Iterator[object]:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="clips")
    yield client
    client.close()


def connect(endpoint: str | None, **changes: object) -> BucketStorage:
    options: dict[str, object] = {
        "bucket": "clips",
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": "id",
        "secret_access_key": SecretStr(SECRET),
        "prefix": "guilds/one",
        **changes,
    }
    return BucketStorage(**options)  # type: ignore[arg-type]


@pytest.fixture
async def storage(endpoint: str, s3: object, tmp_path: Path) -> AsyncIterator[BucketStorage]:
    storage = connect(endpoint, temporary=tmp_path / "copies")
    yield storage
    await storage.delete(KEY)
    await storage.aclose()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_a_large_file_goes_up_in_parts_and_comes_back(storage: BucketStorage, s3, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4 * 1024 * 11  # 11 MiB: three parts
    source = written(tmp_path / "source", content)
    await storage.save(KEY, source)
    assert not source.exists()
    assert await storage.size(KEY) == len(content)
    async with storage.local(KEY) as path:
        assert path.suffix == ".mp4"
        assert path.read_bytes() == content
    assert list((tmp_path / "copies").iterdir()) == []
    head = s3.head_object(Bucket="clips", Key=f"guilds/one/{KEY}")
    assert head["ContentType"] == "video/mp4"
    assert head["ETag"].strip('"').endswith("-3")


async def test_save_overwrites_and_delete_is_fine_twice(storage: BucketStorage, tmp_path: Path) -> None:
    await storage.save(KEY, written(tmp_path / "a", b"old"))
    await storage.save(KEY, written(tmp_path / "b", b"newer"))
    assert await storage.size(KEY) == 5
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert await storage.size(KEY) is None


async def test_the_copy_goes_even_if_its_reader_fails(storage: BucketStorage, tmp_path: Path) -> None:
    await storage.save(KEY, written(tmp_path / "a", b"bytes"))
    with pytest.raises(RuntimeError):
        async with storage.local(KEY):
            raise RuntimeError
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_missing_object_is_a_storage_error_to_its_reader(storage: BucketStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        async with storage.local(KEY):
            pass
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_presigned_put_and_get_need_no_credentials(storage: BucketStorage) -> None:
    content = b"\0\0\0\x18ftypisom" + b"x" * 1000
    upload = await storage.upload_url(KEY, job_id="job", seconds=900, max_bytes=10_000)
    assert upload is not None
    assert "X-Amz-Expires=900" in upload
    assert SECRET not in upload
    async with httpx.AsyncClient() as client:
        assert (await client.put(upload, content=content)).status_code == 200
        assert await storage.size(KEY) == len(content)
        read = await storage.read_url(KEY, seconds=60)
        assert read is not None
        answer = await client.get(read)
    assert answer.status_code == 200
    assert answer.content == content


async def test_a_link_lives_seven_days_at_most(storage: BucketStorage) -> None:
    assert "X-Amz-Expires=604800" in (await storage.read_url(KEY, seconds=30 * 24 * 3600) or "")


async def test_a_bucket_that_is_not_there_is_told_from_a_missing_object(endpoint: str, s3, tmp_path: Path) -> None:
    storage = connect(endpoint, bucket="no-such-bucket")
    source = written(tmp_path / "source", b"bytes")
    with pytest.raises(StorageError, match="cannot keep"):
        await storage.save(KEY, source)
    assert source.read_bytes() == b"bytes"
    with pytest.raises(StorageError, match="no bucket"):
        await storage.size(KEY)
    with pytest.raises(StorageError, match="cannot read"):
        async with storage.local(KEY):
            pass


async def test_refused_credentials_are_a_storage_error_without_the_secret(endpoint: str, s3, tmp_path: Path) -> None:
    # moto lets anybody in until it is told to check, in the whole process; "inf" is what it starts with.
    storage = connect(endpoint)
    source = written(tmp_path / "source", b"bytes")
    async with httpx.AsyncClient() as client:
        await client.post(f"{endpoint}/moto-api/reset-auth", content=b"0")
        try:
            for call in (storage.save(KEY, source), storage.size(KEY), storage.delete(KEY)):
                with pytest.raises(StorageError) as caught:
                    await call
                assert SECRET not in f"{caught.value} {caught.value.sentence}"
        finally:
            await client.post(f"{endpoint}/moto-api/reset-auth", content=b"inf")
    assert source.exists()


async def test_a_server_that_is_away_is_a_storage_error() -> None:
    storage = connect("http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot look at"):
        await storage.size(KEY)


@pytest.mark.parametrize("key", ["../x.mp4", "/videos/x.mp4", "videos/../../x.mp4", "x"])
async def test_what_is_no_key_reaches_no_object(storage: BucketStorage, key: str, tmp_path: Path) -> None:
    source = written(tmp_path / "source", b"bytes")
    for call in (storage.save(key, source), storage.size(key), storage.delete(key), storage.read_url(key, seconds=1)):
        with pytest.raises(StorageError, match="not a storage key"):
            await call


@pytest.mark.parametrize(
    "endpoint", ["http://s3.example", "ftp://127.0.0.1", "s3.example", "", "http://127.0.0.1.evil"]
)
def test_bytes_do_not_travel_in_the_clear(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.s3\.endpoint"):
        connect(endpoint)


async def test_aws_variables_of_the_environment_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "elsewhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    url = await connect(None).read_url(KEY, seconds=60)
    assert url is not None
    assert url.startswith("https://s3.us-east-1.amazonaws.com/clips/")
    assert "X-Amz-Credential=id%2F" in url
    assert "elsewhere" not in url
    assert "Security-Token" not in url


async def test_amazons_own_and_r2_sign_https_links() -> None:
    amazon = await connect(None).read_url(KEY, seconds=60)
    assert amazon is not None
    assert amazon.startswith(f"https://s3.us-east-1.amazonaws.com/clips/guilds/one/{KEY}?")
    account = "https://account.r2.cloudflarestorage.com"
    r2 = await connect(account, region="auto", prefix="").upload_url(KEY, job_id="j", seconds=60, max_bytes=1)
    assert r2 is not None
    assert r2.startswith(f"{account}/clips/{KEY}?")
