"""A server on this machine that publishes archives, well or badly; a small data set; archives of any content."""

import hashlib
import http.server
import io
import re
import tarfile
import threading
import time
import zipfile

import numpy as np

from asc_mrkd.download.catalogue import Archive, DataSet


class Server(http.server.ThreadingHTTPServer):
    """Serves the bodies by name at /behaviour/name; notes behaviour and range of every request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies, self.requests, self.asked = {}, [], []
        self.now, self.most = 0, 0
        self.counting = threading.Lock()

    def address(self, behaviour, name):
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/{name}"

    def handle_error(self, request, client_address):
        """Print nothing when the client has gone."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaviours: good, moved, slow, no-range, no-length, drip, cut[-K], flipped, short, long, endless, missing, page,
    login, busy[-K]."""

    def do_GET(self):
        server = self.server
        _, behaviour, name = self.path.split("/")
        with server.counting:
            server.requests.append((behaviour, self.headers["Range"]))
            server.asked.append(name)
        self.behave(*re.fullmatch(r"([a-z-]+?)(?:-(\d+))?", behaviour).groups(), server.bodies[name])

    def behave(self, behaviour, number, body):
        asked = self.headers["Range"]
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/good/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if behaviour in ("missing", "page") or (behaviour == "busy" and len(self.server.requests) <= int(number or 99)):
            status = {"missing": 404, "page": 200, "busy": 503}[behaviour]
            return self.answer(status, b"<html>not here</html>", 21)
        if behaviour == "login":
            return self.answer(200, b"<html>log in</html>", None, kind="text/html; charset=utf-8")
        if behaviour == "slow":
            self.wait_a_moment()
        changed = {
            "flipped": bytes([body[0] ^ 1]) + body[1:],
            "short": body[:-1],
            "long": body + b"x",
            "endless": body * 20,
        }
        body = changed.get(behaviour, body)
        first = 0 if behaviour == "no-range" or asked is None else int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        rest = body[first:]
        sent = rest[: int(number or 50_000)] if behaviour == "cut" else rest
        length = None if behaviour in ("no-length", "endless") else len(rest)
        return self.answer(206 if first else 200, sent, length, is_dripping=behaviour == "drip")

    def wait_a_moment(self):
        """Wait before the first byte, and note how many clients wait at once."""
        server = self.server
        with server.counting:
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(0.1)
        with server.counting:
            server.now -= 1

    def answer(self, status, sent, length, is_dripping=False, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        at_once = len(sent) // 2 if is_dripping else len(sent)
        self.wfile.write(sent[:at_once])
        for start in range(at_once, len(sent), 100):
            time.sleep(0.05)
            self.wfile.write(sent[start : start + 100])

    def log_message(self, *arguments):
        """Print nothing."""


def md5(content):
    """Return the md5 of bytes, hexadecimal."""
    return hashlib.md5(content).hexdigest()


def files_in(folder):
    """Return {path below the folder: content} of all files."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tar_of(path, members):
    """Write a .tar.gz of (name, content) or ready TarInfo and return its path."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def zip_of(members):
    """Return the bytes of a .zip of {name: content}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # without the time of day
    return stream.getvalue()


class Scenes:
    """A data set of many archives in the official layout, its contents and the bytes of its archives."""

    def __init__(self, parts=4, clips=3):
        rng = np.random.default_rng(0)
        licence = {"LICENSE": b"academic use"}
        self.parts = {"doc": {**licence, "README.md": b"read me"}, "meta": {**licence, "meta.csv": b"filename\n" * 99}}
        for i in range(parts):
            audio = {f"audio/{i}-{k}.wav": rng.bytes(9_000) for k in range(clips)}
            self.parts[f"audio.{i}"] = licence | audio
        self.counts = {"meta.csv": 1, "audio/*.wav": parts * clips}

    @property
    def files(self):
        return {name: content for part in self.parts.values() for name, content in part.items()}

    def archives(self):
        """Return {name: bytes} of the archives."""
        return {
            f"scenes.{part}.zip": zip_of(
                {name if name[0] == "/" else f"scenes/{name}": content for name, content in members.items()}
            )
            for part, members in self.parts.items()
        }

    def data_set(self, server=None, *behaviours, **special):
        """Return the row; `special` gives the behaviours for one part (dots as underscores)."""
        rows = []
        for name, body in self.archives().items():
            part = name.removeprefix("scenes.").removesuffix(".zip").replace(".", "_")
            addresses = []
            if server is not None:
                server.bodies[name] = body
                addresses = [server.address(each, name) for each in special.get(part, behaviours)]
            rows.append(Archive(name, len(body), md5(body), tuple(addresses)))
        return DataSet("scenes", tuple(rows), counts=self.counts)

    def put(self, folder, *names):
        """Put archives into a folder; without names all of them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in self.archives().items():
            if not names or name in names:
                (folder / name).write_bytes(body)
