"""The words on the screen: hostile names, encodings that lack characters, readers that have gone, and what is left."""

import contextlib
import errno
import io
import os
import re
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest
from helpers.cli import run_cli
from helpers.runs import write_run

import asc_mrkd.cli
from asc_mrkd import locks
from asc_mrkd.cli import main, recipes
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.locks import exclusive_lock

COMMAND = re.compile(r"(?:asc-mrkd [a-z -]+|(?:--spec|\brm|\bzip|\bbash|\bffmpeg)(?: -\w+)*) '?\{")
"""Start of a command in the source whose next word is filled in without `shell_command`."""
LOOK = "look at the path, its permissions and the free space (df -h)"
VERBS = [path for path in Path(asc_mrkd.cli.__file__).parent.glob("*.py") if path.stem != "terminal"]


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_everything_is_printed_in_one_place(path):
    assert not re.findall(r"(?<![.\w])print\(|typer\.echo|\bConsole\(", path.read_text(encoding="utf-8"))


def test_commands_with_paths_are_written_in_one_place():
    for path in Path(asc_mrkd.__file__).parent.rglob("*.py"):
        assert not COMMAND.findall(path.read_text(encoding="utf-8")), path


def test_commands_to_paste_quote_paths_with_blanks(tmp_path):
    run = tmp_path / "my run"
    [hint] = re.findall("hint: (.*)", run_cli("compare", run).err)
    assert shlex.split(hint) == ["asc-mrkd", "evaluate", str(run)]
    copied = run_cli("recipes", "cp", "dcase18", tmp_path / "my recipes").out
    assert shlex.split(copied) == ["bash", str(tmp_path / "my recipes/dcase18/run.sh")]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run whose folder and one of whose classes command the terminal."""
    folder = tmp_path_factory.mktemp("exp") / "\x1b]0;title\x07run\x9b2J"
    return write_run(folder, classes=("\x1b[31mbus", "tram\x08\x08"), seeds=2, epochs=1)


def test_f3_8_terminal_escapes_of_names_never_reach_the_screen(hostile_run, tmp_path):
    for words in (["evaluate", hostile_run], ["compare", hostile_run, hostile_run], ["evaluate", f"{hostile_run}x"]):
        outcome = run_cli(*words)
        text = outcome.out + outcome.err
        assert not set(text) & set("\x1b\x07\x08\x9b")
        assert r"\x1b]0;title" in text.replace("\n", "")
        assert "warning" not in text
    assert r"\x1b[31mb" in run_cli("evaluate", hostile_run).out
    code, _, err = run_cli("train", tmp_path / "\x1b[2Jconf.yaml", "--out", "x")
    assert (code, "\x1b" in err) == (2, False)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_f3_8_bars_show_escapes_of_names_as_text(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with show_progress("\x1b[31mred", 2, "clips") as advance:
        advance(2, "note \x1b[32m")
    text = sys.stderr.getvalue()
    assert r"\x1b[31mred" in text
    assert "\x1b[31m" not in text
    assert "\x1b[32m" not in text


def run_into(stream, *arguments) -> int:
    """Run the command line with `stream` as stdout and return the exit code."""
    with (
        mock.patch.object(sys, "argv", ["asc-mrkd", *map(str, arguments)]),
        mock.patch.object(sys, "stdout", stream),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return end.value.code


def stream_without_reader():
    """Open a pipe whose other end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exp")
    return [write_run(folder / "ce学", seeds=2, epochs=1), write_run(folder / "mrkd", "mrkd", seeds=2, epochs=1)]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "latin-1", "utf-8"])
def test_f3_5_terminals_of_any_encoding(runs, encoding, tmp_path):
    verbs = [["compare", *runs], ["recipes", "ls"], ["methods"], ["submit", "tasks"]]
    if encoding == "ascii":
        verbs += [["evaluate", runs[0]], ["report", *runs, "--out", tmp_path / "page.html"]]
    for words in verbs:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert run_into(stream, *words) == 0
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)
        if words[0] == "evaluate":
            assert "+-" in text
            assert r"ce\u5b66" in text.replace("\n", "")


def test_f3_5_names_that_are_not_utf_8_are_printed(runs):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with mock.patch.object(recipes, "find_recipes", return_value=[Path(os.fsdecode(b"r\xff"))]):
        assert run_into(stream, "recipes", "ls") == 0
    stream.flush()
    assert rb"r\udcff" in stream.buffer.getvalue()


@pytest.mark.parametrize("words", [["recipes", "ls"], ["methods"], ["methods", "--json"], ["--version"]])
def test_k8_a_reader_that_has_gone_ends_the_output_quietly(words, capfd):
    with stream_without_reader() as stream:
        assert run_into(stream, *words) == 0
    assert capfd.readouterr().err == ""


def test_k8_so_does_one_that_goes_while_a_library_prints(capfd):
    """As typer prints its help."""

    def print_help():
        sys.stdout.write("Usage")
        sys.stdout.flush()

    def print_into_own_stream():
        with os.fdopen(os.dup(sys.stdout.fileno()), "w") as own:
            own.write("Usage")

    for side_effect in (print_help, print_into_own_stream):
        with stream_without_reader() as stream, mock.patch.object(recipes, "find_recipes", side_effect=side_effect):
            assert run_into(stream, "recipes", "ls") == 0
        assert capfd.readouterr().err == ""


def test_k8_a_closed_stdout_is_no_error(runs):
    assert run_into(None, "evaluate", runs[0]) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_f3_1_a_full_disk_behind_stdout_is_a_sentence(capsys):
    with contextlib.suppress(OSError), open("/dev/full", "w") as stream:
        assert run_into(stream, "recipes", "ls") == 2
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "train conf --out",
        "sweep conf a=1 --out",
        "extract-features --data d --out",
        "report run --out",
        "export run --out",
        "compress run float16 --out",
        "fit-budget run --rule dcase2020-task1b --out",
        "submit make run --out",
        "download cifar10 --out",
        "join-stores a b --out",
    ],
)
def test_f1_16_an_empty_value_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in ([*words.split(), ""], [*words.split()[:-1], "--out="]):
        code, out, err = run_cli(*arguments)
        assert (code, out) == (2, "")
        assert err == "error: --out is empty\nhint: write a value, or leave it out\n"
    assert "an argument is empty" in run_cli("make-scenes", "").err
    assert not list(tmp_path.iterdir())


def test_a_fault_of_the_program_is_no_traceback():
    with mock.patch.object(recipes, "find_recipes", side_effect=TypeError("unexpected")):
        code, _, err = run_cli("recipes", "ls")
    assert code == 2
    assert err.startswith("error: TypeError: unexpected: a fault of this program\nhint: ")
    with mock.patch.object(recipes, "find_recipes", side_effect=EOFError("No data left in file")):
        assert "error: EOFError: No data left in file: a fault of this program\n" in run_cli("recipes", "ls").err
    with mock.patch.object(recipes, "find_recipes", side_effect=BrokenPipeError(errno.EPIPE, "Broken pipe")):
        assert run_cli("recipes", "ls")[::2] == (2, f"error: the system: Broken pipe\nhint: {LOOK}\n"), "of a worker"
    with mock.patch.object(recipes, "find_recipes", side_effect=MemoryError):
        assert "error: there is not enough memory\n" in run_cli("recipes", "ls").err
    with mock.patch.object(recipes, "find_recipes", side_effect=TypeError), pytest.raises(TypeError):
        run_cli("recipes", "ls", "--debug")


def test_warnings_of_the_package_are_one_line_each(tmp_path, monkeypatch):
    def find_recipes():
        with exclusive_lock(tmp_path):
            return []

    monkeypatch.setattr(locks.locks_of_unix, "flock", mock.Mock(side_effect=OSError(errno.ENOSYS, "not implemented")))
    monkeypatch.setattr(recipes, "find_recipes", find_recipes)
    code, _, err = run_cli("recipes", "ls")
    assert code == 0
    assert re.fullmatch(r"warning: the file system of .* has no locks: .*\n", err)
