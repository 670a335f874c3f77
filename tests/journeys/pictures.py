"""Files that people upload: pictures and clips, good ones and bad ones."""

import struct
import zlib
from fractions import Fraction
from io import BytesIO

import av
from PIL import Image


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), colour: str = "teal") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def photo_on_its_side() -> bytes:
    """A JPEG as a phone writes it: lying on its side, with the place where it was taken. Red is at the top."""
    upright = Image.new("RGB", (120, 200), "blue")
    upright.paste("red", (0, 0, 120, 100))
    exif = Image.Exif()
    exif[274] = 6  # orientation: turn by 90° clockwise to see it upright
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    buffer = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", exif=exif, comment=b"secret place")
    return buffer.getvalue()


def animated() -> bytes:
    """A GIF of two frames: green, then red."""
    buffer = BytesIO()
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("green", "red")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


def huge_png(side: int = 30_000) -> bytes:
    """A valid one-bit PNG of `side` by `side` pixels in about a hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def clip(seconds: float = 3.0, container: str = "mp4", size: tuple[int, int] = (320, 240)) -> bytes:
    """A video of one colour, 24 frames a second, H.264."""
    buffer = BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        still = Image.new("RGB", size, "orange")
        for number in range(round(seconds * 24)):
            frame = av.VideoFrame.from_image(still)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def look_at(video: bytes) -> tuple[float, int, int]:
    """Seconds, width and height of a video."""
    with av.open(BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return frames / 24, stream.width, stream.height
