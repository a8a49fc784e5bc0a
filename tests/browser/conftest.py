"""The console as an administrator uses it: a real Chromium on a live server.

`admin_page` is a signed-in page. Whatever the browser reports as an error during a test, a refusal by the
content security policy among it, fails that test at its end. `screenshot("mailboxes")` keeps what it looks
like in var/screenshots.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from serversync.sandbox.servers import running_sandbox
from tests.browser.journeys import Words, World, make_world

BROWSERS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
# No sandbox: root can't have one. The others keep the browser from calling its maker.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCALES = {"en": "en-US", "ja": "ja-JP"}
SCREENSHOTS = settings.BASE_DIR / "var" / "screenshots"


@dataclass
class Problems:
    """What the browser complained about while a test ran."""

    seen: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.on_console(message.type, message.text))
        page.on("pageerror", lambda error: self.seen.append(f"script error: {error}"))
        page.on("response", self.on_response)

    def on_console(self, kind: str, text: str) -> None:
        # A failed load says no address here; on_response does.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.seen.append(f"console: {text}")

    def on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.seen.append(f"{response.status} for {response.url}")

    def forget(self) -> list[str]:
        """Hands out and clears what was seen, for a test that means to cause it."""
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed; cure: scripts/install-test-servers")
    # Playwright keeps an event loop in this thread, which Django takes for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def language() -> str:
    """Which the browser asks for. A module that walks through the console in each has one of its own."""
    return "en"


@pytest.fixture
def context(browser: Browser, live_server, language: str) -> Iterator[BrowserContext]:
    context = browser.new_context(
        base_url=live_server.url,
        locale=LOCALES[language],
        timezone_id="UTC",
        viewport={"width": 1440, "height": 900},
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def problems() -> Iterator[Problems]:
    problems = Problems()
    yield problems
    assert not problems.seen, "The browser reported:\n" + "\n".join(problems.seen)


@pytest.fixture
def page(problems: Problems, context: BrowserContext) -> Page:
    """A page that nobody is signed in to; addresses may be relative: page.goto("/login/")."""
    context.on("page", problems.watch)
    return context.new_page()


@pytest.fixture
def administrator(live_server):
    return get_user_model().objects.create_superuser(
        domain_name="administrator",
        password="correct horse battery",
        internal_email_address="administrator@example.com",
    )


@pytest.fixture
def sign_in(context: BrowserContext, live_server) -> Callable[[object], None]:
    """Signs a user in without the form; the form has its own test."""

    def sign_in(user) -> None:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        host = urlsplit(live_server.url).hostname
        values = {"name": cookie.key, "value": cookie.value, "domain": host, "path": "/"}
        context.add_cookies([values])

    return sign_in


@pytest.fixture
def admin_page(page: Page, sign_in, administrator) -> Page:
    sign_in(administrator)
    return page


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], Path]:
    """Keeps the whole page as var/screenshots/<name>.png."""

    def screenshot(name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path, full_page=True)
        return path

    return screenshot


# -- journeys


@pytest.fixture
def words(language: str) -> Words:
    return Words(language)


@pytest.fixture
def world(live_server) -> Iterator[World]:
    with running_sandbox() as sandbox:
        yield make_world(sandbox)
