"""The lists of the console as axe-core judges them."""

import pytest

from tests.browser.axe import Group, judged, told, urls_of
from tests.factories.console import build_site

pytestmark = pytest.mark.browser


@pytest.mark.timeout(200)
def test_no_list_shuts_anybody_out(page, sign_in, live_server, problems):
    site = build_site()
    sign_in(site.administrator)
    found = judged(page, urls_of(site, Group.LISTS))
    assert len(found) >= 30
    problems.forget()  # pages that are refused with 403
    assert not told(found), f"\n{told(found)}"
