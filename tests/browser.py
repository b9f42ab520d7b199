"""A browser without a window, to look at pages as their readers do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")

# Drawn: observers are called and pictures near the reader are there, and another two frames change nothing.
DRAWN = """(async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let before = null; ; ) {
    await frame();
    await frame();
    const waits = [...document.images].some((image) => image.loading !== "lazy" && !image.complete);
    const now = document.documentElement.outerHTML;
    if (document.readyState === "complete" && !waits && now === before) return "<!DOCTYPE html>" + now;
    before = now;
  }
})()"""


def rendered(page: Path, hash: str = "", profile: Path | None = None) -> str:
    """The page's document after its scripts ran, however long they take. Skips the test where no Chromium is."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with chromium(profile or page.parent / ".profile") as browser:
        tab = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        session = browser.ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        browser.ask("Page.enable", session)
        browser.ask("Page.navigate", session, url=page.absolute().as_uri() + (f"#{hash}" if hash else ""))
        browser.wait(lambda told: told.get("method") == "Page.loadEventFired")
        asked = {"expression": DRAWN, "awaitPromise": True, "returnByValue": True}
        return str(browser.ask("Runtime.evaluate", session, **asked)["result"]["value"])


class Browser:
    """A browser's DevTools protocol over two pipes: JSON messages that end in a zero byte."""

    def __init__(self, to: BinaryIO, answers: BinaryIO) -> None:
        self.to, self.answers = to, answers
        self.asked = 0

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        answer = self.wait(lambda told: told.get("id") == self.asked)
        assert "error" not in answer and "exceptionDetails" not in answer["result"], answer
        return dict(answer["result"])

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is wanted; those before it are passed over."""
        while not wanted(told := json.loads(self.read())):
            pass
        return dict(told)

    def read(self) -> bytes:
        found = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            assert byte, f"the browser ended: {bytes(found)!r}"
            found += byte
        return bytes(found)


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser of its own, ended at the end. It reads questions as its file 3 and writes answers as its file 4."""
    assert CHROMIUM is not None
    (questions, to), (answers, written) = pipe(), pipe()
    start = ["/bin/sh", "-c", f'exec "$0" "$@" 3</dev/fd/{questions} 4>/dev/fd/{written}', CHROMIUM, *FLAGS]
    start += [f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    words = subprocess.DEVNULL
    with (
        os.fdopen(to, "wb") as asking,
        os.fdopen(answers, "rb") as answering,
        subprocess.Popen(start, pass_fds=(questions, written), stdout=words, stderr=words) as process,
    ):
        os.close(questions)
        os.close(written)
        browser = Browser(asking, answering)
        try:
            yield browser
            browser.ask("Browser.close")  # then it takes its temporary files away, and ends
        except BaseException:
            process.kill()
            raise


def pipe() -> tuple[int, int]:
    """Both ends of a pipe, reading and writing, neither of which is file 3 or 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
