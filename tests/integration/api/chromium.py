"""A headless Chromium as a test drives it: Debian's own, spoken to over a pipe by its DevTools protocol.

Only what a page needs: open it at a size, count what goes over the wire, tap, look.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from select import select
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 30.0
_HOME = "--user-data-dir"
_SWITCHES = (
    *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--hide-scrollbars", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-extensions"),
)


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass
class Wire:
    """What a tab has asked for, and how many bytes came back (headers and bodies as they were sent)."""

    asked: list[str] = field(default_factory=list)
    received: int = 0
    refused: list[str] = field(default_factory=list)


class Browser:
    def __init__(self, process: subprocess.Popen[bytes], to: int, from_: int) -> None:
        self._process = process
        self._to, self._from = to, from_
        self._buffer = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        said: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            said["sessionId"] = session
        os.write(self._to, json.dumps(said).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            heard = self._hear(deadline)
            if heard.get("id") == number:
                assert "error" not in heard, (method, heard)
                result: dict[str, Any] = heard["result"]
                return result
            self._events.append(heard)

    def events(self) -> list[dict[str, Any]]:
        """Those that have come since this was last asked."""
        found, self._events = self._events, []
        return found

    def _hear(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._from], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium says nothing"
            read = os.read(self._from, 1 << 20)
            assert read, f"Chromium has gone: {self._process.poll()}"
            self._buffer += read
        said, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(said)
        return heard

    def tab(self, width: int, height: int, *, mobile: bool, scripts: bool = True, dark: bool = False) -> Tab:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, target)
        for domain in ("Page", "Network", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        if mobile:
            tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
        if not scripts:
            tab.call("Emulation.setScriptExecutionDisabled", value=True)
        if dark:
            features = [{"name": "prefers-color-scheme", "value": "dark"}]
            tab.call("Emulation.setEmulatedMedia", features=features)
        return tab


class Tab:
    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target
        self.wire = Wire()
        self.loaded = 0
        self.said: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def open(self, url: str) -> None:
        before = self.loaded
        self.call("Page.navigate", url=url)
        self.until(lambda: self.loaded > before)

    def until(self, holds: Callable[[], bool]) -> None:
        """Look until it holds."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self.look()
            if holds():
                return
            assert time.monotonic() < deadline, (self.said, self.wire)
            time.sleep(0.02)

    def look(self) -> None:
        """Take in what has happened."""
        self._browser.call("Browser.getVersion")  # what was said before its answer has been heard then
        for event in self._browser.events():
            if event.get("sessionId") != self._session:
                continue
            params = event["params"]
            match event["method"]:
                case "Page.loadEventFired":
                    self.loaded += 1
                case "Network.requestWillBeSent":
                    self.wire.asked.append(f"{params['request']['method']} {params['request']['url']}")
                case "Network.loadingFinished":
                    self.wire.received += int(params["encodedDataLength"])
                case "Network.loadingFailed":
                    self.wire.refused.append(params["errorText"])
                case "Log.entryAdded":
                    self.said.append(params["entry"]["text"])
                case "Runtime.exceptionThrown":
                    self.said.append(str(params["exceptionDetails"]))

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """left, top, width, height on the screen, asked of the engine: it works where scripts are off, too."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"there is no {selector}"
        quad = self.call("DOM.getBoxModel", nodeId=node)["model"]["border"]
        return quad[0], quad[1], quad[4] - quad[0], quad[5] - quad[1]

    def has(self, selector: str) -> bool:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        return bool(self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"])

    def text(self) -> str:
        root = self.call("DOM.getDocument", depth=-1)["root"]
        found: list[str] = []

        def walk(node: dict[str, Any]) -> None:
            if node["nodeName"] in ("SCRIPT", "STYLE"):
                return
            if node["nodeType"] == 3:
                found.append(node["nodeValue"])
            for child in node.get("children", ()):
                walk(child)

        walk(root)
        return " ".join(" ".join(found).split())

    def tap(self, selector: str) -> None:
        left, top, width, height = self.place(selector)
        point = {"x": left + width / 2, "y": top + height / 2}
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def offline(self, cut_off: bool) -> None:
        self.call(
            "Network.emulateNetworkConditions", offline=cut_off, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def picture(self, whole: bool = False) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(prefix="underfoot-chromium-", ignore_cleanup_errors=True) as home:
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()

        process = subprocess.Popen(
            # It looks for the pipe at 3 and 4.
            [
                *("bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "-"),
                executable,
                *_SWITCHES,
                f"{_HOME}={home}",
            ],
            pass_fds=(their_in, their_out),
            env={**os.environ, "HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        try:
            yield Browser(process, our_out, our_in)
        finally:
            process.terminate()
            process.wait(20)
            os.close(our_in)
            os.close(our_out)
