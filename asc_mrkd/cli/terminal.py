"""Output of the verbs: control characters in names are escaped, any encoding will do, and a reader that has gone is not
an error."""

import codecs
import errno
import io
import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that command a terminal or turn the direction of writing, besides tab and line feed."""

PLAIN = str.maketrans(
    {"±": "+-", "·": ".", "−": "-", "–": "-", "…": "...", "×": "x", "“": '"', "”": '"', "’": "'", "→": "->"}
)
"""Characters of our own texts that many encodings lack, and their spelling in ASCII."""


def printable(text: str) -> str:
    r"""Write the characters that command a terminal as escape sequences of Python.

    >>> printable("\x1b[31mred.wav")
    '\\x1b[31mred.wav'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: object, *, err: bool = False) -> None:
    """Print a line on stdout or stderr."""
    stream = sys.stderr if err else sys.stdout
    with without_reader(stream):
        print(printable(str(text)), file=stream, flush=True)


@contextmanager
def without_reader(stream: Any) -> Iterator[None]:
    """Continue if nobody reads a stream any more: the other end of a pipe has gone, or the terminal is closed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        discard(stream)


def make_console(*, err: bool = False) -> "Console":
    """Return a console of rich for stdout or stderr."""
    from rich.console import Console, RenderableType
    from rich.segment import Segment

    class PrintableConsole(Console):
        """A console whose texts hold no control characters; its own are those of rich."""

        def render(self, renderable: RenderableType, options: Any = None) -> Any:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

        def on_broken_pipe(self) -> None:
            discard(self.file)

    return PrintableConsole(stderr=err, markup=False, emoji=False)  # a bracket in a name is a bracket


def discard(stream: Any) -> None:
    """Throw away what is still written to a stream, because its reader has gone, as with `| head`."""
    with suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def prepare_streams() -> None:
    """Make stdout and stderr take every character, and exist even if the shell has closed them."""
    codecs.register_error("asc_mrkd", _spell_plainly)
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def flush_stdout() -> bool:
    """Write out what is buffered, and return whether somebody still reads it.

    Raises:
        OSError: the file that stdout was sent to cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        return False
    except OSError:
        discard(sys.stdout)
        raise
    return has_reader(sys.stdout)


def has_reader(stream: TextIO) -> bool:
    """Return whether somebody may read a stream: not if it is a pipe whose other end is closed."""
    if not hasattr(select, "poll"):  # Windows
        return True
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return True  # it is in memory
    ends = select.poll()
    ends.register(number, 0)
    return not ends.poll(0)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # never closed, as stdout is not
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="asc_mrkd")
    return stream


def _spell_plainly(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks, by their spelling in ASCII or by escape sequences of Python."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = error.object[error.start : error.end].translate(PLAIN)
    return plain.encode("ascii", "backslashreplace").decode("ascii"), error.end
