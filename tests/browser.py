"""A browser without a window, to look at pages as their readers do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def rendered(page: Path, hash: str = "", profile: Path | None = None) -> str:
    """The page's document after its scripts ran. The test is skipped where no Chromium is installed."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={profile or page.parent / '.profile'}", "--virtual-time-budget=10000", "--dump-dom"]
    url = page.absolute().as_uri() + (f"#{hash}" if hash else "")
    done = subprocess.run([*command, url], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")
