"""A bot whose videos are in a bucket: the model uploads there by a presigned link, and nothing reaches the bot."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from journey import Journey, video_id
from moto.server import ThreadedMotoServer
from pictures import picture

from sandbox.discord import File

SECRET = "the-secret-of-the-bucket"


@pytest.fixture
def bucket() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id="id",
        aws_secret_access_key=SECRET,
    )  # fmt: skip
    client.create_bucket(Bucket="clips")
    yield client
    client.close()
    server.stop()


def keys(bucket: Any) -> list[str]:
    return sorted(entry["Key"] for entry in bucket.list_objects_v2(Bucket="clips").get("Contents", []))


async def test_from_a_picture_to_an_extended_video_and_away_again(journey: Journey, bucket: Any) -> None:
    journey.public = False
    await journey.start(
        STORAGE__KIND="s3",
        STORAGE__S3__BUCKET="clips",
        STORAGE__S3__ENDPOINT=bucket.meta.endpoint_url,
        STORAGE__S3__REGION="us-east-1",
        STORAGE__S3__ACCESS_KEY_ID="id",
        STORAGE__S3__SECRET_ACCESS_KEY=SECRET,
        STORAGE__S3__PREFIX="cinecord",
    )
    place = journey.place()
    first = await journey.make(place, "kept in a bucket", image=File("a.png", picture()), duration=2)
    (call,) = journey.calls_for(video_id(first))
    assert call.input["output"]["upload_url"].startswith(f"{bucket.meta.endpoint_url}/clips/cinecord/videos/")
    assert f"cinecord/videos/{video_id(first)}.mp4" in keys(bucket)
    await journey.told(await journey.submit(place.alice, await journey.click(place.alice, first, "Extend")))
    second = await journey.video(place.channel, 2)
    assert second.media[0].size > 0
    for posted in (first, second):
        await journey.told(await journey.click(place.alice, posted, "Delete"))
    assert keys(bucket) == []
    assert SECRET not in journey.log
