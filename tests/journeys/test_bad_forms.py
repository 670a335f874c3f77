"""Bad text in a form that Extend, Edit or Retry has opened."""

import pytest
from journey import Journey, Place

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [("   \n", "empty"), ("\u2800\u3164", "empty"), ("y" * 6001, "6,000"), ("\u0301" * 500_000, "6,000")],
    ids=["spaces", "blank letters", "6001", "a pile of marks"],
)
@pytest.mark.parametrize("label", ["Edit", "Retry"])
async def test_a_form_with_a_bad_prompt(shared: Journey, place: Place, label: str, prompt: str, words: str) -> None:
    posted = await shared.make(place, "a plain beginning")
    files, calls = shared.files(), len(shared.model.calls)
    opened = await shared.click(place.alice, posted, label)
    assert words in await shared.told(await shared.submit(place.alice, opened, {"prompt": prompt}, force=True))
    assert place.channel.messages == [posted]
    assert shared.files() == files
    assert len(shared.model.calls) == calls
    assert len(shared.jobs("guild_id = ?", place.guild.id)) == 1


async def test_a_form_with_a_length_that_it_does_not_offer(shared: Journey, place: Place) -> None:
    posted = await shared.make(place, "a measured beginning")
    opened = await shared.click(place.alice, posted, "Extend")
    for seconds in ("99", "0", "1"):
        values = {"prompt": "and on it goes", "duration": [seconds]}
        answer = await shared.told(await shared.submit(place.alice, opened, values, force=True))
        assert "2 to 10" in answer
    assert place.channel.messages == [posted]
