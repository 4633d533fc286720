"""The page of a network: a folder of files that classifies sounds in a browser, offline."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import soundfile as sf

from asc_mrkd import __version__
from asc_mrkd.audio.read import match_channels, read_audio, resample
from asc_mrkd.deploy.choice import Accuracy
from asc_mrkd.errors import ConfigError, MissingExtraError
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import write_text

FILES = ("index.html", "page.css", "page.js", "recorder.js")
"""Files of every page, in the folder `web`."""

FACTS = "page.json"
"""File with what the page says and needs to know about its network."""

RUNTIME = {"ort.wasm.bundle.min.mjs": "ort.js", "ort-wasm-simd-threaded.wasm": "ort.wasm"}
"""Files of onnxruntime-web in its folder `dist`, and their names in the folder `runtime` of a page. Servers know the
type of .js files; not all know .mjs."""

PACKAGE = Path("node_modules/onnxruntime-web")
"""Place of onnxruntime-web after `npm install`."""


def find_runtime(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder with the files of onnxruntime-web.

    Args:
        folder: the npm package or its folder `dist`; None: node_modules/onnxruntime-web in the working directory.

    Raises:
        MissingExtraError: the files are not there.
    """
    package = PACKAGE if folder is None else Path(folder)
    for place in (package / "dist", package):
        if all((place / name).is_file() for name in RUNTIME):
            return place
    hint = "npm install onnxruntime-web"
    if folder is None:
        raise MissingExtraError(f"a page needs onnxruntime-web, and {package} does not have it", hint)
    raise MissingExtraError(f"{package} does not hold {' and '.join(RUNTIME)} of onnxruntime-web", hint)


def write_page(
    folder: Path,
    runtime: Path,
    spec: FrontendSpec,
    classes: Sequence[str],
    accuracy: Accuracy | None,
    about: dict[str, Any],
) -> None:
    """Write a page into a folder that holds its network, model.onnx, from samples to probabilities.

    Args:
        folder: an existing folder.
        runtime: see `find_runtime`.
        spec: front end of the network.
        classes: class names in the order of the probabilities.
        accuracy: accuracy on the test clips; None if it is not known.
        about: `network` (its name), `precision`, and `agreement` of an int8 network with the trained one, or "".
    """
    source = Path(__file__).parent / "web"
    for name in FILES:
        shutil.copyfile(source / name, folder / name)
    (folder / "runtime").mkdir()
    for name, new_name in RUNTIME.items():
        shutil.copyfile(runtime / name, folder / "runtime" / new_name)
    facts = {
        "version": __version__,
        **about,
        "bytes": (folder / "model.onnx").stat().st_size,
        "classes": list(classes),
        "accuracy": None if accuracy is None else accuracy.share,
        "test_clips": 0 if accuracy is None else accuracy.clips,
        "frontend": f"{spec.name}: {spec.description}",
        "sample_rate": spec.sample_rate,
        "channels": spec.channels,
        "clip_seconds": spec.clip_seconds,
        "samples": spec.samples,
        "pad_or_trim": spec.pad_or_trim,
        "fmin": spec.fmin,
        "fmax": spec.fmax,
        "clips": [],
    }
    write_text(folder / FACTS, json.dumps(facts, indent=2) + "\n")


def offer_clips(folder: Path, recordings: Sequence[tuple[Path, str]]) -> None:
    """Put recordings into a page, in 16 bits at the rate and with the channels of its network.

    Args:
        folder: folder of the page.
        recordings: path and true class of each recording.

    Raises:
        AudioError: a recording cannot be used.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    (folder / "clips").mkdir(exist_ok=True)
    for path, label in recordings:
        audio = read_audio(path)
        samples = match_channels(audio.samples, facts["channels"], path)
        samples = resample(samples, audio.sample_rate, facts["sample_rate"])
        name = f"clips/{len(facts['clips']) + 1}.wav"  # recordings of several folders may have the same name
        sf.write(folder / name, samples.T, facts["sample_rate"], subtype="PCM_16")
        facts["clips"].append({"file": name, "label": label})
    write_text(folder / FACTS, json.dumps(facts, indent=2) + "\n")


class _Handler(SimpleHTTPRequestHandler):
    """Sends the files of a folder; it prints nothing, and the types do not depend on the system."""

    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".wav": "audio/wav",
    }

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    """Serves each browser in a separate thread."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a fault of the server; a browser that leaves in the middle of an answer is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served_page(folder: str | os.PathLike[str], port: int = 0) -> Iterator[str]:
    """Serve a folder on the loopback address of this computer until the block ends.

    Args:
        folder: the folder.
        port: port; 0 takes a free one.

    Yields:
        The address of the page.

    Raises:
        ConfigError: the port is in use, not for this user, or beyond 65535.

    Example:
        ```python
        with served_page("exp/page") as address:
            print(address)  # http://127.0.0.1:43567/
        ```
    """
    try:
        opened = _Server(("127.0.0.1", port), partial(_Handler, directory=os.fspath(folder)))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"port {port}: {reason}", "--port 0 takes a free one") from error
    with opened as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
