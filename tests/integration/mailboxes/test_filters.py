"""Which filters can be chosen."""

import pytest
from django.core.exceptions import ValidationError

from mailboxes.choices import FilteringMethod
from mailboxes.models import Organization
from tests.factories.mailboxes import QueueFactory, SystemUserFactory

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.mark.rule("R3.17")
@pytest.mark.parametrize("offered", [True, False])
def test_no_messages_can_be_chosen_only_while_it_is_offered(offered: bool) -> None:
    Organization.objects.current()
    Organization.objects.update(do_not_auto_track_email=offered)
    queue = QueueFactory.create()
    settings = SystemUserFactory.create().settings

    for row in (queue, settings):
        row.incoming_email_filtering_method = FilteringMethod.NONE
        if offered:
            row.clean()
        else:
            with pytest.raises(ValidationError, match=r"R3\.17"):
                row.clean()
        row.incoming_email_filtering_method = FilteringMethod.ALL
        row.clean()
