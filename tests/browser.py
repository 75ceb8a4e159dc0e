"""A real headless browser for the tests of pages: Debian's Chromium, driven by Playwright, watched all the while."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")

PATIENCE_MS = 120_000
"""For what the browser does at once on any machine; Playwright's own 5 seconds are too few for a busy one."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"
)


@dataclass
class Visit:
    """A page that is open, and what it did that it should not."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            self.console.append(f"{message.type}: {message.text}")

        def on_request(request: Request) -> None:
            # Data URLs load nothing.
            if not request.url.startswith("data:"):
                self.requests.append(request.url)

        def on_dialog(dialog: Dialog) -> None:
            self.dialogs.append(dialog.message)
            dialog.dismiss()

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.on("request", on_request)
        self.page.on("dialog", on_dialog)

    def axe(self, *rules: str) -> list[str]:
        """What axe finds wrong with the page as it is.

        Args:
            rules: Only these; by default all that are on, which is WCAG 2 A and AA and good practice.
        """
        self.page.evaluate(AXE_SCRIPT)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = list(rules)
        found: dict[str, Any] = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def texts(self, selector: str) -> list[str]:
        """The visible texts of what a selector finds."""
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, with a profile of its own, and end it.

    For no longer than a module: while it runs, Playwright's event loop runs in this thread, and no other can.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, where: Path | str, *, width: int = 1200, **context: Any) -> Iterator[Visit]:
    """Open a file or an address in a fresh window.

    Args:
        browser: The browser.
        where: A file's path, or a URL.
        width: Of the window, in pixels.
        context: More for Playwright's `new_context`: color_scheme, java_script_enabled ….
    """
    fresh = browser.new_context(viewport={"width": width, "height": 900}, **context)
    fresh.set_default_timeout(PATIENCE_MS)
    try:
        opened = Visit(fresh.new_page())
        opened.watch()
        opened.page.goto(where.as_uri() if isinstance(where, Path) else where)
        yield opened
    finally:
        fresh.close()
