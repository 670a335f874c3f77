"""Real files of every kind, good and bad, through `make_safe`; and mangled ones through the workers."""

import asyncio
import hashlib
import random
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pillow_heif
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from bot import images
from bot.decoders import Decoders
from bot.errors import BadAttachment, MediaError
from bot.images import Picture, make_safe, safe_picture

pillow_heif.register_heif_opener()
RED, GREEN, BLUE = (220, 20, 20), (20, 200, 20), (20, 20, 220)


def sample(mode: str = "RGB", size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Left half red, right half blue, a green corner at the top left."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    image.paste(GREEN, (0, 0, size[0] // 8, size[1] // 4))
    return image.convert(mode)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


@pytest.fixture
def safe(tmp_path: Path, kept: Path) -> Callable[..., tuple[Picture, Image.Image]]:
    def make(source: bytes | Image.Image, kind: str = "PNG", **options: Any) -> tuple[Picture, Image.Image]:
        path = tmp_path / "source.bin"
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            source.save(path, kind, **options)
        picture = make_safe(path, kept)
        assert [file.name for file in kept.iterdir()] == [picture.sha256]
        data = picture.path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (picture.sha256, picture.size)
        image = Image.open(BytesIO(data))
        image.load()
        assert (Image.MIME[image.format or ""], *image.size) == (picture.mime, picture.width, picture.height)
        return picture, image

    return make


def close(seen: Any, wanted: tuple[int, int, int], by: int = 30) -> bool:
    return all(abs(one - other) <= by for one, other in zip(seen[:3], wanted, strict=True))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP", "TIFF"])
def test_each_kind_is_read_by_content(safe: Any, kind: str) -> None:
    picture, image = safe(sample(), kind)
    assert picture.mime == "image/jpeg"
    assert not picture.animated
    assert image.size == (64, 32)
    assert close(image.getpixel((20, 20)), RED, 45)
    assert close(image.getpixel((50, 20)), BLUE, 45)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_gps_and_xmp_are_gone_and_the_picture_stands_upright(safe: Any, kind: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    lying = sample().transpose(Image.Transpose.ROTATE_90)  # orientation 6: turn it clockwise to see it upright
    options = {"exif": exif} | ({"xmp": b"<x:xmpmeta>SecretPlace</x:xmpmeta>"} if kind in {"JPEG", "WEBP"} else {})
    source = encoded(lying, kind, **options)
    assert b"SecretCamera" in source
    picture, image = safe(source)
    assert image.size == (64, 32)
    assert close(image.getpixel((2, 2)), GREEN, 60)
    assert close(image.getpixel((50, 20)), BLUE, 45)
    assert not image.getexif()
    data = picture.path.read_bytes()
    assert all(mark not in data for mark in (b"Secret", b"Exif", b"GPS", b"xmp"))


def turned_heic() -> bytes:
    """A HEIC as phones write it: stored lying, with a box that says to turn it, and an EXIF tag that says so too."""
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "SecretCamera"
    lying = sample(size=(128, 64)).transpose(Image.Transpose.ROTATE_90)
    data = bytearray(encoded(lying, "HEIF", exif=exif))
    box = data.index(b"pixi")
    data[box : box + 5] = b"irot\x03"  # the writer leaves `irot` out; the box of bit depths lends it its place
    count = data.index(b"ipma") + 14
    data[count + data[count]] |= 0x80  # its association comes last: mark it essential
    return bytes(data)


def test_a_turned_heic_stands_upright_once(safe: Any) -> None:
    picture, image = safe(turned_heic())
    assert image.size == (128, 64)
    assert close(image.getpixel((4, 4)), GREEN, 60)
    assert close(image.getpixel((120, 60)), BLUE, 45)
    assert b"Secret" not in picture.path.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations(safe: Any, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the stored picture: the inverse of each turn
    stored = sample() if orientation == 1 else sample().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    _, image = safe(stored, "PNG", exif=exif)
    assert image.size == (64, 32)
    assert close(image.getpixel((3, 3)), GREEN, 45)
    assert close(image.getpixel((3, 28)), RED, 45)
    assert close(image.getpixel((60, 28)), BLUE, 45)


def test_comments_and_text_chunks_are_gone(safe: Any) -> None:
    picture, _ = safe(sample(), "JPEG", comment=b"SecretComment")
    assert b"Secret" not in picture.path.read_bytes()
    picture.path.unlink()
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "SecretName", zip=False)
    picture, _ = safe(sample("RGBA", (64, 32)), "PNG", pnginfo=info)
    assert b"Secret" not in picture.path.read_bytes()


def test_colours_of_an_embedded_profile_come_to_srgb(safe: Any) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    swapped = bytearray(lab.tobytes())  # the profile's red and blue primaries change places
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    picture, image = safe(sample(), "PNG", icc_profile=bytes(swapped))
    assert close(image.getpixel((20, 20)), BLUE, 45)
    assert "icc_profile" not in image.info
    assert b"ICC" not in picture.path.read_bytes()


def test_a_broken_profile_is_left_out(safe: Any) -> None:
    _, image = safe(sample(), "PNG", icc_profile=b"not a profile" * 20)
    assert close(image.getpixel((20, 20)), RED)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "AVIF")])
def test_what_shows_through_stays_so(safe: Any, mode: str, kind: str) -> None:
    source = sample("RGBA")
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    picture, image = safe(source.convert(mode), kind)
    assert (picture.mime, image.mode) == ("image/png", "RGBA")
    assert image.getpixel((30, 1))[3] < 30
    assert image.getpixel((30, 31))[3] > 220


def test_transparent_palettes_and_opaque_alpha(safe: Any) -> None:
    palette = sample().convert("P", palette=Image.Palette.ADAPTIVE)
    picture, image = safe(palette, "GIF", transparency=palette.getpixel((50, 20)))
    assert (picture.mime, image.getpixel((50, 20))[3]) == ("image/png", 0)
    picture.path.unlink()
    picture, _ = safe(sample("RGBA"), "PNG")
    assert picture.mime == "image/jpeg"


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("YCbCr", "TIFF")])
def test_modes_of_colour(safe: Any, mode: str, kind: str) -> None:
    _, image = safe(sample(mode), kind)
    assert image.mode == "RGB"
    assert close(image.getpixel((20, 20)), RED, 50)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_modes_of_grey(safe: Any, mode: str) -> None:
    white = Image.new("L", (64, 32), 255)
    white.paste(0, (0, 0, 32, 32))
    _, image = safe(white.convert(mode), "PNG")
    assert close(image.getpixel((5, 5)), (0, 0, 0))
    assert close(image.getpixel((60, 5)), (255, 255, 255))


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I", "TIFF"), ("F", "TIFF")])
def test_sixteen_bits_and_more_keep_their_greys(safe: Any, mode: str, kind: str) -> None:
    deep = Image.new("I", (64, 32), 0)
    deep.paste(32768, (20, 0, 40, 32))
    deep.paste(65535, (40, 0, 64, 32))
    _, image = safe(deep.convert(mode), kind)
    assert [round(image.getpixel((x, 16))[0] / 10) for x in (8, 30, 55)] == [0, 13, 26]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_moving_pictures_take_their_first_frame_and_say_so(safe: Any, kind: str) -> None:
    frames = [Image.new("RGB", (64, 32), colour) for colour in (RED, GREEN, BLUE)]
    picture, image = safe(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert picture.animated
    assert close(image.getpixel((20, 20)), RED, 45)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "HEIF"])
def test_large_pictures_are_brought_down(safe: Any, kind: str) -> None:
    _, image = safe(sample(size=(5000, 2500)), kind)
    assert image.size == (2048, 1024)
    assert close(image.getpixel((900, 800)), RED, 45)


def test_small_pictures_are_not_blown_up(safe: Any) -> None:
    _, image = safe(sample(size=(8, 8)), "PNG")
    assert image.size == (8, 8)


def bomb(width: int, height: int) -> bytes:
    """A small real PNG of width × height black pixels, one bit each."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def film(kind: str = "mp4") -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        track = container.add_stream("libx264" if kind == "mp4" else "libvpx", rate=24)
        track.width, track.height, track.pix_fmt = 64, 32, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame.from_image(sample())
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return buffer.getvalue()


def noisy(size: tuple[int, int] = (400, 300)) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3))


def cut(kind: str, share: float) -> bytes:
    data = encoded(noisy(), kind)
    return data[: int(len(data) * share)]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "text": ("This is no picture. Größe: 3 €.".encode, "text file"),
    "svg": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "pdf": (lambda: b"%PDF-1.7\n", "PDF"),
    "mp4": (film, "That is a video, not a picture."),
    "webm": (lambda: film("webm"), "That is a video, not a picture."),
    "sound": (lambda: b"ID3\x04\x00" + bytes(100), "sound file"),
    "noise": (lambda: bytes(range(256)) * 4, "not a picture that can be read"),
    "psd": (lambda: b"8BPS\x00\x01" + bytes(100), "not a picture that can be read"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "text file"),
    "jxl": (lambda: b"\xff\x0a" + bytes(30), "JPEG XL"),
    "truncated jpeg": (lambda: cut("JPEG", 0.6), "incomplete or damaged"),
    "barely truncated jpeg": (lambda: cut("JPEG", 0.97), "incomplete or damaged"),
    "truncated png": (lambda: cut("PNG", 0.6), "incomplete or damaged"),
    "truncated webp": (lambda: cut("WEBP", 0.6), "incomplete or damaged"),
    "truncated gif": (lambda: cut("GIF", 0.6), "incomplete or damaged"),
    "truncated heic": (lambda: cut("HEIF", 0.6), "incomplete or damaged"),
    "truncated avif": (lambda: cut("AVIF", 0.6), "incomplete or damaged"),
    "a head only": (lambda: b"\x89PNG\r\n\x1a\n", "incomplete or damaged"),
    "bomb": (lambda: bomb(30_000, 30_000), "30,000 × 30,000 pixels"),
    "tiny": (lambda: encoded(sample(size=(7, 40)), "PNG"), "7 × 40 pixels, which is too small"),
    "narrow": (lambda: encoded(sample(size=(10_000, 10)), "PNG"), "10,000 × 10 pixels, which is too narrow"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_usable_picture_gets_one_clear_sentence(name: str, tmp_path: Path, kept: Path) -> None:
    make, words = REFUSED[name]
    path = tmp_path / "picture.png"
    path.write_bytes(make())
    with pytest.raises(BadAttachment) as caught:
        make_safe(path, kept)
    sentence = caught.value.sentence
    assert words in sentence
    assert "\n" not in sentence
    assert not any(inside in sentence for inside in ("Error", "PIL", "0x", str(tmp_path)))
    assert not any(kept.iterdir())


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(8000, 7000))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BadAttachment, match="8,000 × 7,000"):
        make_safe(path, kept)


def test_nothing_is_left_when_writing_fails(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    sample().save(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        make_safe(path, kept)
    assert not any(kept.iterdir())


async def test_a_picture_goes_through_a_worker(tmp_path: Path, kept: Path) -> None:
    path = tmp_path / "a.heic"
    sample().save(path, "HEIF")
    decoders = Decoders(workers=1)
    try:
        picture = await safe_picture(decoders, path, kept)
        assert picture.path == kept / picture.sha256
        assert [file.name for file in kept.iterdir()] == [picture.sha256]
        path.write_bytes(b"nothing")
        with pytest.raises(BadAttachment, match="text file"):
            await safe_picture(decoders, path, kept)
        assert [file.name for file in kept.iterdir()] == [picture.sha256]
    finally:
        await decoders.aclose()


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 12)):
        at = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                changed[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
            case 2:
                del changed[at : at + dice.randint(1, 200)]
            case _:
                changed[at:at] = dice.randbytes(dice.randint(1, 50))
        if len(changed) < 16:
            break
    return bytes(changed)


async def test_mangled_files_are_read_or_refused_and_nothing_else(tmp_path: Path, kept: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)
    exif = Image.Exif()
    exif[274] = 6
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "HEIF", "AVIF", "BMP", "TIFF")
    originals = [encoded(noisy((60, 40)), kind, **({"exif": exif} if kind == "JPEG" else {})) for kind in kinds]
    originals.append(
        encoded(sample("P"), "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    )
    decoders = Decoders(workers=2)

    async def attempt(number: int) -> str:
        path = tmp_path / f"{number}.bin"
        path.write_bytes(mutated(originals[number % len(originals)], dice))
        try:
            picture = await safe_picture(decoders, path, kept)
        except BadAttachment as error:
            known = error.sentence in {images.DAMAGED, *images.NOT_A_PICTURE.values()} or "pixels" in error.sentence
            return "refused" if known else error.sentence
        except MediaError as error:
            return error.cause if "Traceback" in error.cause else "killed"
        return "read" if picture.path.exists() else "lost"

    try:
        outcomes = await asyncio.gather(*(attempt(number) for number in range(200)))
    finally:
        await decoders.aclose()
    assert {"read", "refused"} <= set(outcomes) <= {"read", "refused", "killed"}
    assert all(len(file.name) == 64 for file in kept.iterdir())
