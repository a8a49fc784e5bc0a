"""The wizard: from nothing to synchronized mailboxes, or one more server, in five steps.

    steps     which there are, and where somebody who comes back goes on; pure
    standing  that, read from what is stored
    frame     what the pages of all steps share: who may, which profile, the way through
    server trying default people done     the steps
    tying     a mailbox gets its profile; a user or queue is made: by the forms of their own screens
    begin     the front page of a site on which nothing runs yet

Nothing is kept for the wizard: what is stored says how far one came. The key of a profile that is still to be made
is part of the address, so that sending a form twice makes one profile.
"""

from typing import TYPE_CHECKING, Any

from django.urls import path

from serversync.console.wizard.default import DefaultPages
from serversync.console.wizard.done import DonePages
from serversync.console.wizard.frame import Frame
from serversync.console.wizard.people import PeoplePages
from serversync.console.wizard.server import ServerPages
from serversync.console.wizard.trying import TryingPages

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite


def urls(site: "ConsoleSite") -> list[Any]:
    frame = Frame(site)
    server, trying, done = ServerPages(frame), TryingPages(frame), DonePages(frame)
    views = (
        ("setup/", server.start, "wizard"),
        ("setup/<uuid:key>/server/", server.show, "wizard_server"),
        ("setup/<uuid:key>/test/", trying.show, "wizard_test"),
        ("setup/<uuid:key>/test/live/", trying.live, "wizard_test_live"),
        ("setup/<uuid:key>/default/", DefaultPages(frame).show, "wizard_default"),
        ("setup/<uuid:key>/people/", PeoplePages(frame).show, "wizard_people"),
        ("setup/<uuid:key>/done/", done.show, "wizard_done"),
        ("setup/<uuid:key>/done/live/", done.live, "wizard_done_live"),
    )
    return [path(route, site.admin_view(view), name=name) for route, view, name in views]
