"""Takes the pictures of the administrator's guide; `scripts/screenshots` runs it. pytest passes it by unless it
is named.

What the pages are of is made anew each time and the clock stands still, so the same code makes the same pictures,
but for keys of records, which few pages show.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page

from mailboxes.models import SystemUser
from serversync.people import secondfactor
from tests.browser.palette import reduced
from tests.browser.pictures import FOLDER, LARGEST, MARGIN, PICTURES, WINDOW, Picture
from tests.factories.console import Site
from tests.factories.guide import guide_site, note_what_happened

pytestmark = pytest.mark.browser

NOW = datetime(2026, 3, 9, 9, 24, tzinfo=UTC)  # a Monday morning
NOBODYS_KEY = "EXAMPLE2" * 4  # of the second factor


@pytest.fixture
def site(live_server, monkeypatch) -> Site:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    monkeypatch.setattr(secondfactor, "new_key", lambda: NOBODYS_KEY)
    return guide_site()


def wanted() -> list[Picture]:
    """All, or those that are named: what is gone from the list goes from the folder, too."""
    names = os.environ.get("PICTURES", "").split()
    if not names:
        for path in set(FOLDER.glob("*.png")) - {one.path for one in PICTURES}:
            path.unlink()
    return [one for one in PICTURES if not names or one.name in names]


def session_of(user: SystemUser, url: str) -> dict[str, str]:
    """The cookie of somebody who is signed in."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": url}


@contextmanager
def opened(browser, url: str, picture: Picture, site: Site) -> Iterator[Page]:
    context = browser.new_context(
        base_url=url,
        locale=picture.language,
        timezone_id="UTC",
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="dark" if picture.dark else "light",
        reduced_motion="reduce",
    )
    with context:
        page = context.new_page()
        page.clock.set_fixed_time(NOW)
        context.add_cookies([session_of(getattr(site, picture.who), url)])
        note_what_happened(site)
        yield page


def shown(page: Page, picture: Picture) -> bytes:
    """The part that is wanted, from its top, as high as the picture may be."""
    part = page.locator(picture.part).first
    if picture.part == WINDOW:
        return page.screenshot(animations="disabled", caret="hide")
    box = part.bounding_box()
    assert box is not None, f"{picture.name}: nothing of it can be seen"
    clip = {
        "x": box["x"] - MARGIN,
        "y": box["y"] - 4,  # what is above belongs to the way back
        "width": box["width"] + 2 * MARGIN,
        "height": min(box["height"] + MARGIN, picture.height),
    }
    return page.screenshot(clip=clip, full_page=True, animations="disabled", caret="hide")


def take(page: Page, site: Site, picture: Picture) -> Path:
    page.goto(picture.where(site))
    picture.act(page)
    page.wait_for_load_state("networkidle")
    picture.path.write_bytes(reduced(shown(page, picture)))
    return picture.path


@pytest.mark.timeout(1200)
def test_pictures_are_taken(browser, live_server, site):
    FOLDER.mkdir(exist_ok=True)
    large = []
    for picture in wanted():
        with opened(browser, live_server.url, picture, site) as page:
            if take(page, site, picture).stat().st_size >= LARGEST:
                large.append(picture.name)

    assert large == [], "too large for the guide"
