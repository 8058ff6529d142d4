"""A browser that remembers what went wrong: errors in its console, broken content policies, failed answers."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

CHROMIUM = shutil.which("chromium")
_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
]
WIDE, NARROW = (1280, 900), (390, 844)  # pixels: a desk, a telephone


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the machine's own Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        yield browser
        browser.close()


class Walker:
    """One person at a browser of their own. Every page is photographed, and every complaint of the browser kept."""

    def __init__(self, browser: Browser, console: str, pictures: Path, name: str) -> None:
        self._console, self._pictures, self._name = console, pictures, name
        context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self._taken = 0
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("response", self._answered)

    def go(self, address: str = "") -> None:
        """Open a page of the console by its path below `/admin/`."""
        self.page.goto(self._console + address)

    def press(self, name: str) -> None:
        """Press a button, or follow a link, of this name, and wait for the page that comes."""
        ends_so = re.compile(rf"(^|\s){re.escape(name)}$")  # an icon is read out before it
        control = self.page.get_by_role("button", name=ends_so).or_(self.page.get_by_role("link", name=ends_so))
        with self.page.expect_navigation():
            control.first.click()

    def follow(self, words: str) -> None:
        """Follow the first link whose text holds these words."""
        with self.page.expect_navigation():
            self.page.get_by_role("link").filter(has_text=words).first.click()

    def follow_first(self) -> None:
        """Follow the link of the first row of a list."""
        with self.page.expect_navigation():
            self.page.locator("#result_list tbody a").first.click()

    def fill(self, **fields: str) -> None:
        """Fill form fields by their names."""
        for name, value in fields.items():
            self.page.locator(f"[name={name}]").fill(value)

    def sees(self, words: str) -> None:
        """Fail unless the page shows these words."""
        self.page.get_by_text(words).first.wait_for()

    def picture(self, name: str, *, also_narrow: bool = False) -> None:
        """Keep what the person sees, in the order of the walk; on a telephone too if asked to."""
        self._taken += 1
        where = self._pictures / f"{self._name}-{self._taken:02}-{name}.png"
        self.page.screenshot(path=where)
        if also_narrow:
            self.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            self.page.screenshot(path=where.with_stem(f"{where.stem}-narrow"))
            overflow = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, f"{name}: {overflow} pixels wider than a telephone"
            self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})

    @contextmanager
    def being_refused(self) -> Iterator[None]:
        """Expect just one complaint: that the page is not for this person."""
        before = list(self.complaints)
        yield
        assert [each for each in self.complaints if "403" not in each] == before
        assert len(self.complaints) > len(before)
        self.complaints = before

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400:
            self.complaints.append(f"{answer.status} {answer.url}")
