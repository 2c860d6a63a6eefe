"""A JupyterLab of its own and a headless Chromium, for stories that a person could tell."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 240
"""Seconds after which a test gives up on anything it waits for; machines that do other work, too, are slow."""
_CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
_SETTINGS = {"apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
             "notebook-extension/tracker": '{"windowingMode": "defer"}'}  # fmt: skip
"""No question about news in the pictures; and every cell is in the page in the end, also one that is out of sight."""
_LAB = ["--no-browser", "--allow-root", "--IdentityProvider.token=story", "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip


@contextlib.contextmanager
def server(folder: Path, home: Path) -> Iterator[str]:
    """JupyterLab on ``folder``, with settings of its own; gives its address and stops it in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data",
           "JUPYTER_RUNTIME_DIR": home / "runtime", "IPYTHONDIR": home / "ipython", "PYTHONPATH": ROOT,
           "DRAWING_BY_ANALOGY_CACHE": home / "models"}  # fmt: skip
    for name, text in _SETTINGS.items():
        file = home / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    command = [sys.executable, "-m", "jupyterlab", *_LAB, f"--port={port}", f"--ServerApp.root_dir={folder}"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | {key: str(value) for key, value in own.items()},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token=story", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()  # it ends its kernels, too
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, "JupyterLab has stopped; see its log"
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(address).read()
            return
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab has not started within {PATIENCE} s")


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Any]:
    """A page of headless Chromium that fails on an uncaught error of a script."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(home / "browser"), executable_path=CHROMIUM, args=_CHROMIUM, headless=True,
            viewport={"width": 1400, "height": 1000}, accept_downloads=True, has_touch=True,
        )  # fmt: skip
        context.set_default_timeout(1000 * PATIENCE)
        errors: list[str] = []
        context.on("weberror", lambda error: None if _foreign(error.page) else errors.append(str(error.error)))
        yield context.new_page()
        context.close()
        assert not errors, errors


def _foreign(page: Any) -> bool:
    """Whether it is Notebook 7's page, whose own scripts ask for plugins of JupyterLab that it has not."""
    return page is not None and "/notebooks/" in page.url


def open_notebook(page: Any, address: str, name: str, *, view: str = "doc/tree") -> None:
    """Show a notebook and wait for its kernel; the view "notebooks" is Notebook 7's."""
    page.goto(f"{address}/{view}/{name}?token=story&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached")


def start_cell(page: Any, number: int) -> Any:
    """Start a cell and give the place of its number, which is a star while it runs; a lost key press is repeated."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    for _ in range(4):
        cell.locator(".cm-content").first.click()
        page.keyboard.press("Control+Enter")
        began = time.monotonic()
        while prompt.inner_text() == before and time.monotonic() < began + 10:
            page.wait_for_timeout(20)
        if prompt.inner_text() != before:
            break
    return prompt


def run_cell(page: Any, number: int) -> str:
    """Run a cell, wait for its end and return its output."""
    prompt, began = start_cell(page, number), time.monotonic()
    while "*" in prompt.inner_text() and time.monotonic() < began + PATIENCE:
        page.wait_for_timeout(20)
    output = page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-OutputArea").first
    return str(output.inner_text()).strip() if output.count() else ""
