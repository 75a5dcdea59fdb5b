"""A headless Chromium that a test moves: real keys, screens of any size, scripts in the page. Nothing is installed.

It speaks the browser's own protocol over two pipes: JSON, each message ended by a zero byte.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 30  # for one answer


class Browser:
    """One window; see `opened`."""

    def __init__(self, process, to_browser, from_browser):
        self.process, self.to_browser, self.from_browser = process, to_browser, from_browser
        self.number, self.session, self.unread, self.said = 0, None, b"", []

    def ask(self, method, **parameters):
        """Call a method of the protocol and return what it gives."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.said.append(answer["params"])

    def _next(self, deadline):
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.from_browser], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser gives no answer"
            part = os.read(self.from_browser, 1 << 20)
            assert part, "the browser has ended"
            self.unread += part
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def run(self, script):
        """The value of an expression of JavaScript."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def go(self, place):
        """Open a file, or an address, and wait until it is loaded."""
        address = place if isinstance(place, str) else place.as_uri()
        self.ask("Page.navigate", url=address)
        self.until(f"location.href + document.readyState === {json.dumps(address + 'complete')}")

    def until(self, script):
        """Wait until an expression of JavaScript is true."""
        for _ in range(100 * SECONDS):
            if self.run(script):
                return
            time.sleep(0.01)
        pytest.fail(f"not true after {SECONDS} s: {script}")

    def key(self, key, code=None, number=0, text=None):
        """Press and let go of a key."""
        about = {"key": key, "code": code or key, "windowsVirtualKeyCode": number}
        about |= {"text": text} if text else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **about)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, quality=60):
        """What the window shows, as WebP."""
        shot = self.ask("Page.captureScreenshot", format="webp", quality=quality)
        return base64.b64decode(shot["data"])

    def screen(self, width, height=900, *, phone=False, scheme="light"):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


@contextlib.contextmanager
def opened(profile):
    """A browser with its files in the folder `profile`."""
    (browser_reads, to_browser), (from_browser, browser_writes) = os.pipe(), os.pipe()
    # the browser takes file descriptors 3 and 4, whatever numbers ours have
    command = 'exec 3<&"$0" 4>&"$1"; shift; exec "$@"'
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", f"--user-data-dir={profile}")
    process = subprocess.Popen(
        ["bash", "-c", command, str(browser_reads), str(browser_writes), CHROMIUM, *flags, "about:blank"],
        pass_fds=(browser_reads, browser_writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(browser_reads)
    os.close(browser_writes)
    try:
        browser = Browser(process, to_browser, from_browser)
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            browser.ask(f"{domain}.enable")
        yield browser
        browser.session = None
        browser.ask("Browser.close")
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
