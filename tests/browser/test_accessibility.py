"""The console's other pages as axe-core judges them, those before the sign-in, and the judge itself."""

from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from mailboxes.models import SystemUser
from tests.browser.axe import AROUND, Group, faults_of, group_of, is_page, judged, told, urls_of
from tests.factories.console import Site, build_site
from tests.integration.serversync.walking import addresses

pytestmark = pytest.mark.browser

NAMELESS = "<html lang=en><title>A page</title><main><button></button></main></html>"
GREY = "<html lang=en><title>A page</title><body style='background: white'>{}</body></html>"


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


def test_the_judge_sees_a_button_without_a_name(page):
    page.set_content(NAMELESS)
    assert [fault.split(":")[0] for fault in faults_of(page)] == ["button-name"]


def test_the_judge_sees_pale_words_in_each_theme_but_where_they_were_judged(page):
    page.set_content(GREY.format("<main style='color: #ccc'>Words</main>"))
    found = [fault.split(":")[:2] for fault in faults_of(page, AROUND)]
    assert found == [["light", " color-contrast"], ["dark", " color-contrast"]]
    page.set_content(GREY.format("<main><p id=header style='color: #ccc'>Words</p></main>"))
    assert faults_of(page, AROUND) == []


@pytest.mark.timeout(200)
def test_no_page_shuts_anybody_out(page, sign_in, site, problems):
    sign_in(site.administrator)
    found = judged(page, urls_of(site, Group.OTHERS))
    assert len(found) > 30

    page.context.clear_cookies()
    found |= judged(page, [reverse("admin:login")])
    SystemUser.objects.filter(pk=site.ben.pk).update(second_factor_since=timezone.now())
    site.ben.refresh_from_db()
    sign_in(site.ben)
    second = judged(page, [reverse("admin:second_factor")])
    assert [urlsplit(url).path for url in second] == [reverse("admin:second_factor")]
    problems.forget()  # pages that are refused with 403
    assert not told(found | second), f"\n{told(found | second)}"


def test_every_page_is_judged_in_one_group(site):
    pages = [each for each in addresses(site, site.ada) if is_page(each)]
    groups = {group: [each for each in pages if group_of(each.name) is group] for group in Group}
    assert all(groups.values())
    assert len(groups[Group.LISTS]) >= len(admin.site._registry)
    assert sum(len(list(urls_of(site, group))) for group in Group) == len(pages)
