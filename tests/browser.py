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


TORN = r"""() => {
  const torn = [], texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    if (text.parentElement.closest("code, .object, .unseen") || !text.parentElement.checkVisibility()) continue;
    for (const number of text.data.matchAll(/(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])/g)) {
      const range = document.createRange();
      range.setStart(text, number.index);
      range.setEnd(text, number.index + number[0].length);
      if (new Set([...range.getClientRects()].map((one) => Math.round(one.top))).size > 1) torn.push(number[0]);
    }
  }
  return torn;
}"""
"""The numbers that stand in two lines."""

FAINT = r"""(least) => {
  const colour = (text) => { const [red, green, blue, opaque = 1] = text.match(/[\d.]+/g).map(Number); return [red, green, blue, opaque]; };
  const light = ([red, green, blue]) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found[3] === 1) return found;
    }
    return [255, 255, 255, 1];
  };
  const faint = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    const one = text.parentElement;
    if (!text.data.trim() || one.closest(".unseen, .skip, script, style") || !one.checkVisibility()) continue;
    const style = getComputedStyle(one);
    const [dark, bright] = [light(colour(one.closest("svg") ? style.fill : style.color)), light(ground(one))].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < least) faint.add(`${contrast.toFixed(2)} ${one.className.baseVal ?? one.className}: ${text.data.trim().slice(0, 40)}`);
  }
  return [...faint];
}"""
"""The texts with less contrast than `least`; axe does not look into drawings."""

LEAST_CONTRAST = 4.5

PHONE, DESK = 390, 1280


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

    def unreadable(self) -> list[str]:
        """What a person cannot read well, on a phone and on a desk, by day and by night: to be scrolled sideways, torn, faint."""
        found = []
        for width in (PHONE, DESK):
            self.page.set_viewport_size({"width": width, "height": 900})
            if self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            ):
                found.append(f"at {width}: wider than the window")
            found += [f"at {width}: {number} is torn" for number in self.page.evaluate(TORN)]
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found += [f"{scheme}: {text}" for text in self.page.evaluate(FAINT, LEAST_CONTRAST)]
        return found

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
