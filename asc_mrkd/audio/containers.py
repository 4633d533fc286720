"""Kinds of sound files: which are read, which are not, and what a file holds."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import SEEK_END, RawIOBase
from pathlib import Path

from asc_mrkd.audio.chunks import Sound, find_sound, is_chunked
from asc_mrkd.audio.flac import split_flac
from asc_mrkd.audio.mpeg import MpegLength, find_frames, measure_mpeg
from asc_mrkd.audio.ogg import has_damaged_page, split_streams
from asc_mrkd.audio.pcm import PcmLayout
from asc_mrkd.audio.reasons import RefusalError
from asc_mrkd.audio.section import Section
from asc_mrkd.audio.tags import read_at, skip_id3, skip_zeros
from asc_mrkd.errors import shell_command

CONTAINERS = "WAV, RF64, BW64, AIFF, AU, CAF, W64, FLAC, Ogg, MP3"
"""Containers that are read; libsndfile knows others, among them tables of numbers and files that it prints."""

SOUND_SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".bw64", ".w64"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
    *(".flac", ".ogg", ".oga", ".opus", ".mp3"),
)
"""Suffixes of sound files, in lower case, by which they are found in a folder; a file in a list may have any."""

_OTHER_KINDS = [  # position and bytes that show a kind of file that is not read
    (4, b"ftyp", "MPEG-4 (.m4a, .mp4)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM (.mka, .webm)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (.wma)"),
    (0, b"#!AMR", "AMR"),
    (0, b"ADIF", "AAC"),
    (0, b"MAC ", "Monkey's Audio (.ape)"),
    (0, b"wvpk", "WavPack (.wv)"),
    (0, b"TTA1", "True Audio (.tta)"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"DSD ", "DSD (.dsf)"),
    (0, b"FRM8", "DSD (.dff)"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"NIST_1A", "NIST SPHERE (.sph)"),
    (0, b"ajkg", "Shorten (.shn)"),
    (0, b"Creative Voice File", "Creative Voice (.voc)"),
    (0, b"\x0b\x77", "AC-3"),
    (8, b"8SVX", "8SVX"),
]
_MAGICS = (b"RIFF", b"RF64", b"BW64", b"fLaC", b"OggS", b"caff")
_GIT_LFS = b"version https://git-lfs"
_SEARCHED_BYTES = 4096


@dataclass(frozen=True)
class Source:
    """A stream that libsndfile decodes."""

    stream: RawIOBase
    mpeg: MpegLength | None = None
    """Length of an MP3."""
    claimed: int | None = None
    """Number of samples per channel that a FLAC stream claims, 0 for unknown; None for other streams."""
    plain: RawIOBase | None = None
    """The FLAC stream with that number, which `stream` leaves out."""
    is_ogg: bool = False
    """The stream has Ogg pages."""
    chunked: Sound | None = None
    """The sound as a container of `asc_mrkd.audio.chunks` describes it; None for other streams."""

    @property
    def may_be_mpeg(self) -> bool:
        """Whether libmpg123 may decode the stream."""
        return not self.is_ogg and self.claimed is None

    @property
    def is_damaged(self) -> bool:
        """Whether checksums show damage; sought when a stream has fewer samples than it claims."""
        return self.is_ogg and has_damaged_page(self.stream)


@dataclass(frozen=True)
class Contents:
    """The sound in a file: samples in a row, or streams, one after the other."""

    stream: RawIOBase
    """File that the positions in `pcm` refer to."""
    pcm: PcmLayout | None = None
    sources: tuple[Source, ...] = ()


def read_contents(stream: RawIOBase) -> Contents:
    """Find the sound in a file, behind tags that programs for music put first.

    Raises:
        RefusalError: the file is not one of CONTAINERS, or its sound is not whole.
    """
    size = stream.seek(0, SEEK_END)
    start = skip_id3(stream, 0)
    if start:
        start = skip_zeros(stream, start)
        stream = Section(stream, [(min(start, size), size)])
        size -= min(start, size)
    head = read_at(stream, 0, 12)
    if is_chunked(head):
        sound = find_sound(stream, size)
        if sound is None:
            raise RefusalError("not_audio", f"none of {CONTAINERS}")
        if sound.stream is None:
            return Contents(stream, sound.pcm)
        source = _mpeg_source(sound.stream) if sound.is_mpeg else Source(sound.stream, chunked=sound)
        return Contents(stream, sources=(source,))
    if head[:4] == b"OggS":
        return Contents(stream, sources=tuple(_ogg_sources(split_streams(stream, size))))
    if head[:4] == b"fLaC":
        return Contents(stream, sources=tuple(_flac_sources(stream, size)))
    if head[:1] == b"\xff" and head[1:2] >= b"\xe0":
        return Contents(stream, sources=(_mpeg_source(stream),))
    raise _explain_other_kind(stream)


def _mpeg_source(stream: RawIOBase) -> Source:
    size = stream.seek(0, SEEK_END)
    mpeg = measure_mpeg(stream, size)
    if mpeg is None:
        raise _explain_other_mpeg(stream)
    if mpeg.cut:
        raise RefusalError("truncated", f"{size:,} bytes")
    if mpeg.is_padded:
        stream = Section(stream, [(0, mpeg.end)])
    return Source(stream, mpeg)


def _ogg_sources(streams: Iterable[RawIOBase]) -> Iterable[Source]:
    for stream in streams:
        if read_at(stream, 0, 4) == b"fLaC":
            yield from _flac_sources(stream, stream.seek(0, SEEK_END))
        else:
            yield Source(stream, is_ogg=True)


def _flac_sources(stream: RawIOBase, size: int) -> Iterable[Source]:
    for part in split_flac(stream, size):
        yield Source(part.open_ended, claimed=part.claimed, plain=part.plain)


def _explain_other_mpeg(stream: RawIOBase) -> RefusalError:
    """Return why a stream that may be MPEG audio is not read as an MP3."""
    head = read_at(stream, 0, 2)
    layer = int.from_bytes(head, "big") & 0xFFE6
    if layer in (0xFFE0, 0xFFE4):
        return RefusalError("other_kind", "AAC (.aac)" if layer == 0xFFE0 else "MPEG audio of layer II (.mp2)")
    if layer == 0xFFE2:
        return RefusalError("damaged", "its first frame of MP3 is damaged or has a free bit rate")
    return _explain_other_kind(stream)


def _explain_other_kind(stream: RawIOBase) -> RefusalError:
    """Return why a file that is none of CONTAINERS is not read."""
    head = read_at(stream, 0, _SEARCHED_BYTES)
    for position, magic, title in _OTHER_KINDS:
        if head[position:].startswith(magic):
            return RefusalError("other_kind", title)
    if head.startswith(_GIT_LFS):
        return RefusalError(
            "not_audio", "a pointer of Git LFS, not the recording", "git lfs pull fetches the recordings"
        )
    starts = [(head.find(magic), f"a {magic.decode()} file") for magic in _MAGICS]
    starts.append((find_frames(head), "an MP3"))
    for position, title in starts:
        if position > 0:
            hint = f"tail -c +{position + 1} IN > OUT removes them"
            return RefusalError("not_audio", f"{position:,} other bytes stand before {title}", hint)
    return RefusalError("not_audio", f"none of {CONTAINERS}")


def conversion_hint(path: str | os.PathLike[str]) -> str:
    """Return the command that converts a sound file of a kind that is not read.

    >>> conversion_hint("a.m4a")
    'ffmpeg -i a.m4a a.wav converts it'
    """
    path = Path(path)
    return f"{shell_command('ffmpeg', '-i', path, path.with_suffix('.wav'))} converts it"
