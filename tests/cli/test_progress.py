"""Progress on stderr: plain lines for files and pipes, bars on a terminal."""

import contextlib
import io
import re
import sys
import threading
from types import SimpleNamespace

import pytest

from asc_mrkd.cli import progress as module
from asc_mrkd.cli.progress import show_progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def print_into(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make `stream` the standard error of this test and return it."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def test_one_plain_line_at_the_end_of_quick_work(monkeypatch):
    stream = print_into(io.StringIO(), monkeypatch)
    with show_progress("features", 3, "clips") as advance:
        for _ in range(3):
            advance()
    assert re.fullmatch(r"features: 3/3 clips, [0-9.]+ clips/s\n", stream.getvalue())


def test_plain_lines_of_slow_work_say_what_is_left(monkeypatch):
    stream = print_into(io.StringIO(), monkeypatch)
    seconds = iter(range(0, 100, 6))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(seconds)))
    with show_progress("x", 40, "clips", done=20) as advance:
        advance(5)
        advance(5)
    assert re.fullmatch(
        r"x: 25/40 clips, [0-9.]+ clips/s\nx: 0:0\d:\d\d left, 30/40 clips, [0-9.]+ clips/s\n", stream.getvalue()
    )


def test_f3_11_the_time_left_comes_first_and_the_start_is_not_extrapolated(monkeypatch):
    """The first clip takes 60 s, with all that is loaded; each of the others takes 2 s."""
    terminal = print_into(Terminal(), monkeypatch)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with show_progress("x", 12, "clips") as advance:
        now[0] = 60.0
        advance()
        assert bar_text() == "1/12 clips, 0.0 clips/s"
        now[0] = 62.0
        advance(1, "loss 0.53")
        assert bar_text() == "0:00:20 left, 2/12 clips, 0.0 clips/s, loss 0.53"
        now[0] = 64.0
        advance()
        assert bar_text() == "0:00:18 left, 3/12 clips, 0.0 clips/s, loss 0.53"
    assert "x: 0:00:18 left, 3/12 clips" in terminal.getvalue()


def bar_text() -> str:
    """Return the text of the only bar on the terminal."""
    (task,) = module._Terminal.bars.tasks
    return task.fields["text"]


def test_results_that_come_in_bursts_are_not_extrapolated(monkeypatch):
    print_into(Terminal(), monkeypatch)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with show_progress("x", 100, "clips") as advance:
        now[0] = 9.0
        for _ in range(16):
            advance()
        assert "left" not in bar_text()


def test_bytes_are_shown_in_larger_units(monkeypatch):
    stream = print_into(io.StringIO(), monkeypatch)
    with show_progress("a.zip", 2_500_000, "bytes", done=500_000) as advance:
        advance(-500_000)
        advance(2_500_000)
    assert re.fullmatch(r"a\.zip: 2\.5 MB of 2\.5 MB, [0-9.]+ [A-Z]+/s\n", stream.getvalue())


def test_bars_of_several_threads_share_the_terminal(monkeypatch):
    terminal = print_into(Terminal(), monkeypatch)
    meet = threading.Barrier(2)

    def work(title):
        with show_progress(title, 2, "steps") as advance:
            meet.wait(10)
            advance(2)
            meet.wait(10)

    threads = [threading.Thread(target=work, args=(title,)) for title in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = terminal.getvalue()
    assert re.search(r"first: 2/2 steps, [0-9.]+ steps/s\s", text)
    assert re.search(r"second: 2/2 steps, [0-9.]+ steps/s\s", text)


def test_a_task_that_fails_leaves_the_terminal_to_the_next(monkeypatch):
    terminal = print_into(Terminal(), monkeypatch)
    with contextlib.suppress(ValueError), show_progress("first [1]", 9, "steps") as advance:
        advance()
        raise ValueError
    with show_progress("second", 1, "steps") as advance:
        advance()
    assert "first [1]: 1/9 steps" in terminal.getvalue()
    assert "second: 1/1 steps" in terminal.getvalue()


def test_a_notebook_shows_a_bar_that_stays(monkeypatch):
    pytest.importorskip("IPython.display")
    shown = []
    bar = SimpleNamespace(update=lambda html: shown.append(html.data))

    def display(html, display_id):
        shown.append(html.data)
        return bar

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=None))
    monkeypatch.setattr("IPython.display.display", display)
    with contextlib.suppress(ValueError), show_progress("<b>", 3, "clips") as advance:
        advance()
        advance(1, "loss 0.50")
        raise ValueError
    assert shown[0].startswith('<div><progress value="0" max="3"')
    assert '<progress value="2" max="3"' in shown[-1]
    assert re.search(r"&lt;b&gt;: 2/3 clips, .*, loss 0\.50</div>", shown[-1])
