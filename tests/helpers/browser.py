"""A headless Chromium, driven over its DevTools protocol through a pipe: no driver and no library are needed."""

import base64
import json
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Program of the browser; None if there is none."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
)


class Browser:
    """A browser with one page at a time.

    Args:
        profile: empty folder for its profile.
        flags: further flags of Chromium.
    """

    def __init__(self, profile: Path, *flags: str) -> None:
        assert CHROMIUM is not None
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        # Chromium reads the protocol from descriptor 3 and writes it to 4: here its stdin and stdout.
        shell = ["sh", "-c", 'exec 3<&0 4>&1 </dev/null >/dev/null; exec "$@"', "sh", *command]
        self._process = subprocess.Popen(
            shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._number = 0
        self._session = ""
        self._target = ""
        self.events: list[dict[str, Any]] = []
        """Events of the page since it was opened."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        buffer = b""
        assert self._process.stdout is not None
        while block := self._process.stdout.read1(1 << 16):
            *messages, buffer = (buffer + block).split(b"\0")
            for message in messages:
                self._messages.put(json.loads(message))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._messages.get(timeout=120)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def open(self, address: str, before: str = "", width: int = 1280, scheme: str = "light") -> None:
        """Open an address in a new page.

        Args:
            address: its address.
            before: JavaScript that runs in the page before its own.
            width: width of the page in pixels.
            scheme: `light` or `dark`.
        """
        self._session = ""
        if self._target:
            self.call("Target.closeTarget", targetId=self._target)
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, code: str) -> Any:
        """Return the value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, code: str, seconds: float = 60) -> Any:
        """Wait until an expression is true and return its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.evaluate(code)
            if value:
                return value
            time.sleep(0.05)
        text = self.evaluate("document.body.innerText")
        raise AssertionError(f"{code} did not become true: {self.complaints()}\n{text}")

    def screenshot(self, height: int | None = None) -> bytes:
        """Return a picture of the page as PNG: the whole page, or its beginning of some height."""
        width, whole = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        area = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=area)
        return base64.b64decode(answer["data"])

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def allow_microphone(self, address: str, setting: str) -> None:
        """Answer the question for the microphone in the pages that are opened next: `granted` or `denied`."""
        origin = address.rstrip("/")
        self._session = ""  # an answer given to a page is forgotten with it
        self.call("Browser.setPermission", permission={"name": "microphone"}, setting=setting, origin=origin)

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console."""
        found = []
        for event in self.events:
            values = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(values["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
                found.append(str(values["args"]))
            elif event["method"] == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
                found.append(str(values["entry"]))
        return found

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [values["request"]["url"] for values in sent]

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        self._process.stdin.write(b'{"id": 0, "method": "Browser.close"}\0')  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
