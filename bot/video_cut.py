"""One cut of a video: decoded from the last key frame, filtered, and encoded again with fixed settings.

The output is what every player and Discord shows: upright mp4, H.264 yuv420p with square pixels and a steady frame
rate, AAC stereo, its index in front. It streams: a frame at a time, whatever the length.
"""
# pyright: reportUnknownMemberType=false
# (PyAV's stubs leave some parameters of mux, encode and add_stream without a type)

from __future__ import annotations  # the annotations alone would load FFmpeg in the bot

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from bot.decoders import lazy
from bot.errors import BadAttachment
from bot.video_files import DAMAGED, THREADS, Source

if TYPE_CHECKING:
    import av
    import av.filter
    from av.container.output import OutputContainer
    from av.filter.context import FilterContext
else:
    av = lazy("av")

X264 = {"preset": "fast", "crf": "18", "threads": str(THREADS)}
MAX_FPS = 60
LONG_SIDE = 1920


class Cut:
    """One pass of decoding, filtering and encoding, for what lies between `start` and its end."""

    def __init__(self, source: Source, target: OutputContainer, start: float, length: float) -> None:
        first = next(source.container.decode(source.video), None)
        if first is None:
            raise BadAttachment(DAMAGED, cause="no frame")
        rate = min(Fraction(source.video.average_rate or 30), Fraction(MAX_FPS)).limit_denominator(1001)
        frames = max(1, int(length * rate + Fraction(1, 1000)))
        self._source, self._target = source, target
        self._begin, self._end = source.start + start, source.start + start + length
        self._any = False
        self._size = _even_size(first, source.video)
        self._pictures = self._picture_filters(first.rotation, rate, frames)
        self._picture_track = self._add_picture_track(rate)
        self._sounds = self._sound_filters(source.audio, float(frames / rate))
        self._sound_track = target.add_stream("aac", rate=48_000, layout="stereo") if source.audio else None
        if self._sound_track is not None:
            self._sound_track.bit_rate = 128_000

    def run(self) -> None:
        """Read the source from the last key frame before the start to just past the end."""
        source = self._source
        streams = [stream for stream in (source.video, source.audio) if stream is not None]
        source.container.seek(max(0, int(self._begin * av.time_base)))
        waiting = {stream.index for stream in streams}
        for packet in source.container.demux(*streams):
            if packet.stream.index in waiting and self._take_all(packet):
                waiting.discard(packet.stream.index)
            if not waiting:
                break
        self._finish()

    def _take_all(self, packet: av.Packet[Any]) -> bool:
        """Filter and encode a packet's frames; True when one lies past the end."""
        past = False
        for frame in cast("list[av.VideoFrame | av.AudioFrame]", packet.decode()):
            past = past or (frame.time or 0.0) >= self._end
            if isinstance(frame, av.VideoFrame):
                self._pictures.vpush(frame)
                self._encode_pictures()
            elif self._sounds is not None:
                self._sounds.push(frame)
                self._encode_sounds()
        return past

    def _finish(self) -> None:
        self._pictures.vpush(None)
        self._encode_pictures()
        if not self._any:
            raise BadAttachment(DAMAGED, cause="no frame between the start and the end")
        self._target.mux(self._picture_track.encode(None))
        if self._sounds is not None and self._sound_track is not None:
            self._sounds.push(None)
            self._encode_sounds()
            self._target.mux(self._sound_track.encode(None))

    def _encode_pictures(self) -> None:
        for frame in _pulled(self._pictures):
            if isinstance(frame, av.VideoFrame):
                frame.pict_type = 0  # the encoder chooses its own key frames
                self._target.mux(self._picture_track.encode(frame))
                self._any = True

    def _encode_sounds(self) -> None:
        if self._sounds is None or self._sound_track is None:
            return
        for frame in _pulled(self._sounds):
            if isinstance(frame, av.AudioFrame):
                self._target.mux(self._sound_track.encode(frame))

    def _add_picture_track(self, rate: Fraction) -> av.VideoStream:
        track = self._target.add_stream("libx264", rate=rate, options=X264)
        track.width, track.height = self._size
        track.pix_fmt = "yuv420p"
        track.codec_context.gop_size = max(1, round(rate * 2))
        return track

    def _picture_filters(self, rotation: int, rate: Fraction, frames: int) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        half = [("hflip", ""), ("vflip", "")]
        turns = {90: [("transpose", "cclock")], -90: [("transpose", "clock")], 180: half, -180: half}
        steps = [
            ("trim", f"start={self._begin:.6f}:end={self._end:.6f}"),
            ("setpts", f"PTS-{self._begin:.6f}/TB"),
            ("fps", f"fps={rate}:start_time=0"),
            ("trim", f"end_frame={frames}"),
            *turns.get(rotation, []),
            ("scale", "{}:{}".format(*self._size)),
            ("setsar", "1"),
            ("format", "yuv420p"),
            ("buffersink", ""),
        ]
        video = self._source.video
        return _linked(graph, graph.add_buffer(template=video, time_base=video.time_base), steps)

    def _sound_filters(self, audio: av.AudioStream | None, length: float) -> av.filter.Graph | None:
        if audio is None:
            return None
        graph = av.filter.Graph()
        steps = [
            ("atrim", f"start={self._begin:.6f}:end={self._end:.6f}"),
            ("asetpts", f"PTS-{self._begin:.6f}/TB"),
            ("aresample", "48000:async=1:first_pts=0"),
            ("aformat", "sample_fmts=fltp:channel_layouts=stereo"),
            ("atrim", f"end={max(0.02, length - 1024 / 48_000):.6f}"),  # AAC rounds up to whole blocks of samples
            ("abuffersink", ""),
        ]
        return _linked(graph, graph.add_abuffer(template=audio, time_base=audio.time_base), steps)


def _linked(graph: av.filter.Graph, source: FilterContext, steps: list[tuple[str, str]]) -> av.filter.Graph:
    graph.link_nodes(source, *(graph.add(name, options or None) for name, options in steps)).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame | av.AudioFrame]:
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def _even_size(frame: av.VideoFrame, video: av.VideoStream) -> tuple[int, int]:
    """The size as shown, brought within LONG_SIDE, in whole pairs of pixels (H.264's 4:2:0 needs that)."""
    width, height = frame.width * float(video.sample_aspect_ratio or 1), float(frame.height)
    if frame.rotation % 180:
        width, height = height, width
    scale = min(1.0, LONG_SIDE / max(width, height))
    return max(2, int(width * scale / 2) * 2), max(2, int(height * scale / 2) * 2)
