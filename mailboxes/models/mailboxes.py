"""Mailbox: one account, its address, credentials and delivery methods.

Only what people decide is stored here. What the engine learns stands in its own tables (workloads,
folder cursors, statistics), reached by reverse relations; the properties below are Dataverse's
names for it. Nothing saves a whole row: writers name their fields (`update_fields`).
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    TestStatus,
)
from mailboxes.fields import SecretField
from mailboxes.legality import mailbox_faults
from mailboxes.models.base import Owned, Record, Stamped, Stateful
from mailboxes.models.deleting import pass_on
from mailboxes.models.organization import Organization
from mailboxes.models.profiles import AT_LEAST_ONE, EmailServerProfile
from mailboxes.models.queues import Queue

if TYPE_CHECKING:
    from mailboxes.models.users import SystemUser


class Mailbox(Record, Stamped, Owned, Stateful):
    """mailbox (R1.1). One per user, one per queue, and forward mailboxes (R1.2)."""

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(
        _("email address"),
        max_length=100,
        blank=True,
        help_text=_("The same as the address of its user or queue, on both records (R1.4)."),
    )
    # In place of Owned's: a user's own mailbox does not hold back the user (R1.45).
    owning_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        pass_on,
        null=True,
        blank=True,
        related_name="owned_mailboxes",
        verbose_name=_("owner"),
        help_text=_("The user who owns this record. Leave empty if a team owns it."),
    )
    regarding_user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="default_mailbox",
        verbose_name=_("user"),
    )
    regarding_queue = models.OneToOneField(
        Queue,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="default_mailbox",
        verbose_name=_("queue"),
    )
    is_forward_mailbox = models.BooleanField(
        _("is forward mailbox"),
        default=True,
        editable=False,
        help_text=_("Made by hand, for mail that users and queues forward as attachments (R3.75)."),
    )
    is_service_account = models.BooleanField(
        _("belongs to the service account"), default=False, editable=False
    )
    email_server_profile = models.ForeignKey(
        EmailServerProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="mailboxes",
        verbose_name=_("server profile"),
        help_text=_("A mailbox without a profile is not processed (R1.40)."),
    )

    # What to do
    incoming_email_delivery_method = models.IntegerField(
        _("incoming email"),
        choices=IncomingDeliveryMethod.choices,
        default=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        help_text=_("How mail comes in (section 1.6)."),
    )
    outgoing_email_delivery_method = models.IntegerField(
        _("outgoing email"),
        choices=OutgoingDeliveryMethod.choices,
        default=OutgoingDeliveryMethod.NONE,
        help_text=_("How mail goes out (section 1.6)."),
    )
    act_delivery_method = models.IntegerField(
        _("appointments, contacts and tasks"),
        choices=ActDeliveryMethod.choices,
        default=ActDeliveryMethod.NONE,
        help_text=_("Exchange mailboxes of users only (R1.34)."),
    )
    process_email_received_after = models.DateTimeField(
        _("process email received after"),
        null=True,
        blank=True,
        help_text=_("The later of this and the profile's date counts (R3.6). Lower it to go back."),
    )
    process_and_delete_emails = models.BooleanField(
        _("delete emails after processing"),
        default=False,
        help_text=_("Queue and forward mailboxes only (R1.37). Only what was stored is deleted."),
    )
    delete_rejected_emails = models.BooleanField(
        _("delete rejected emails, too"),
        default=False,
        help_text=_("With the option above: also delete what was rejected (R3.66)."),
    )

    messages_per_minute = models.PositiveIntegerField(
        _("messages per minute"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("How fast mail leaves (R5.14). Empty: as its profile says."),
    )
    messages_per_day = models.PositiveIntegerField(
        _("messages per day"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Within any 24 hours. Empty: as its profile says."),
    )
    recipients_per_day = models.PositiveIntegerField(
        _("recipients per day"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Within any 24 hours. Empty: as its profile says."),
    )

    # May I
    email_router_access_approval = models.IntegerField(
        _("email address approval"),
        choices=AccessApproval.choices,
        default=AccessApproval.EMPTY,
        editable=False,
    )
    email_address_approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("approved by"),
    )
    email_address_approved_on = models.DateTimeField(
        _("approved on"), null=True, blank=True, editable=False
    )
    is_email_address_approved_by_o365_admin = models.BooleanField(
        _("approved by the mail-tenant administrator"), default=False, editable=False
    )
    allow_email_connector_to_use_credentials = models.BooleanField(
        _("allow to use credentials"),
        default=False,
        help_text=_("Needed where the profile takes credentials from the user or queue (R1.16)."),
    )
    user_name = models.CharField(_("user name"), max_length=200, blank=True)
    password = SecretField(_("password"), max_length=200)
    oauth_access_token = SecretField(_("access token"), max_length=1024, editable=False)
    oauth_refresh_token = SecretField(_("refresh token"), max_length=256, editable=False)
    oauth_token_expires_on = models.DateTimeField(
        _("token expires on"), null=True, blank=True, editable=False
    )
    oauth_signed_in_on = models.DateTimeField(
        _("signed in on"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Ours: when the owner connected the mailbox at the provider (R1.21)."),
    )
    oauth_signed_in_as = models.CharField(
        _("signed in as"),
        max_length=320,
        blank=True,
        editable=False,
        help_text=_("Ours: the account, where the provider named it."),
    )
    oauth_refused_code = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Ours: why the provider takes the refresh token no more; a code of R8.20."),
    )
    oauth_renewal_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("Ours: until then one worker renews the token, and others wait for it."),
    )
    secrets_place = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text=_("Ours: digest of the place that password and tokens were entered for (R1.9)."),
    )

    # Requests of people to the engine
    test_email_configuration_scheduled = models.BooleanField(
        _("test scheduled"), default=False, editable=False
    )
    test_and_enable_last_attempted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("last test requested by"),
    )
    test_and_enable_last_attempted_on = models.DateTimeField(
        _("last test requested on"), null=True, blank=True, editable=False
    )
    verbose_logging_enabled = models.IntegerField(
        _("verbose logging (cycles)"),
        default=0,
        help_text=_(
            "Kept for imports. The page “What is said to the server” logs for 24 hours (R8.18)."
        ),
    )
    account_generation = models.PositiveIntegerField(
        default=1,
        editable=False,
        help_text=_("Ours: raised when another account is meant, for its message keys are others."),
    )

    class Meta(Owned.Meta):
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        ordering = ["name"]
        permissions = [
            ("approve_mailbox", _("Can approve email addresses for users or queues (R2.4)")),
            ("test_mailbox", _("Can test and enable mailboxes")),
            ("synchronize_mailbox", _("Can synchronize mailboxes now")),
        ]
        constraints = [
            *Owned.Meta.constraints,
            models.UniqueConstraint(
                Lower("email_address"),
                # A mailbox whose user or queue was deleted keeps its address as history.
                condition=~Q(email_address="")
                & (
                    Q(is_forward_mailbox=True)
                    | Q(regarding_user__isnull=False)
                    | Q(regarding_queue__isnull=False)
                ),
                name="mailbox_address_once",
                violation_error_message=_(
                    "Another mailbox has this address. Take it over there first: one account "
                    "belongs to one user or queue. (R1.5)"
                ),
            ),
            models.CheckConstraint(
                condition=Q(regarding_user__isnull=True) | Q(regarding_queue__isnull=True),
                name="mailbox_serves_user_or_queue",
            ),
            models.CheckConstraint(
                condition=Q(is_forward_mailbox=False)
                | Q(regarding_user__isnull=True, regarding_queue__isnull=True),
                name="mailbox_forward_serves_nobody",
                violation_error_message=_("A forward mailbox belongs to no user or queue (R1.2)."),
            ),
            models.CheckConstraint(
                condition=Q(process_and_delete_emails=False) | Q(regarding_user__isnull=True),
                name="mailbox_user_keeps_server_copy",
                violation_error_message=_(
                    "Mail of a user is never deleted from the server (R1.37)."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        profile = self.email_server_profile
        if faults := mailbox_faults(self, profile.server_type if profile else None):
            raise ValidationError(
                {
                    (field if self._meta.get_field(field).editable else "__all__"): message
                    for field, message in faults.items()
                }
            )

    # -- whose it is

    @property
    def serves_user(self) -> bool:
        return self.regarding_user_id is not None

    @property
    def serves_queue(self) -> bool:
        return self.regarding_queue_id is not None

    @property
    def regarding_object(self) -> "SystemUser | Queue | None":
        return self.regarding_user or self.regarding_queue

    # -- what the engine learned: Dataverse's columns, read from the engine's rows

    def workload(self, operation: Operation) -> Any:
        """The engine's row for one workload, or None. Uses a prefetch of `workloads` if made."""
        rows = self.workloads.all()
        return next((row for row in rows if row.operation == operation), None)

    def _learned(self, operation: Operation, name: str, default: Any = None) -> Any:
        row = self.workload(operation)
        return default if row is None else getattr(row, name)

    @property
    def enabled_for_incoming_email(self) -> bool:
        return bool(self._learned(Operation.INCOMING, "enabled", False))

    @property
    def enabled_for_outgoing_email(self) -> bool:
        return bool(self._learned(Operation.OUTGOING, "enabled", False))

    @property
    def enabled_for_act(self) -> bool:
        return bool(self._learned(Operation.ACT, "enabled", False))

    @property
    def incoming_email_status(self) -> TestStatus:
        return TestStatus(self._learned(Operation.INCOMING, "test_status", TestStatus.NOT_RUN))

    @property
    def outgoing_email_status(self) -> TestStatus:
        return TestStatus(self._learned(Operation.OUTGOING, "test_status", TestStatus.NOT_RUN))

    @property
    def act_status(self) -> TestStatus:
        return TestStatus(self._learned(Operation.ACT, "test_status", TestStatus.NOT_RUN))

    @property
    def is_act_sync_org_flag_set(self) -> bool:
        """The account on the server says that it synchronizes with this organization (R6.60)."""
        state = getattr(self, "act_state", None)
        organization = str(Organization.objects.current().pk)
        return state is not None and bool(state.marker_organization == organization)

    @property
    def org_marked_as_primary_for_exchange_sync(self) -> bool:
        """A test made this organization the one (R6.61)."""
        return self.is_act_sync_org_flag_set and self.act_status == TestStatus.SUCCESS

    @property
    def mailbox_status(self) -> TestStatus:
        """Failure if any workload failed, success if all that ran succeeded."""
        seen = {self.incoming_email_status, self.outgoing_email_status, self.act_status}
        if TestStatus.FAILURE in seen:
            return TestStatus.FAILURE
        return TestStatus.SUCCESS if TestStatus.SUCCESS in seen else TestStatus.NOT_RUN

    @property
    def ews_url(self) -> str:
        """Where its Exchange web service was found, "" if nobody looked for it."""
        found = self._discovered
        return found.url if found else ""

    @property
    def last_autodiscovered_on(self) -> datetime | None:
        found = self._discovered
        return found.found_on if found else None

    @property
    def _discovered(self) -> Any:
        found = getattr(self, "discovered_endpoint", None)
        return found if found and found.by_autodiscover else None

    @property
    def is_password_set(self) -> bool:
        return bool(self.password)

    @property
    def is_oauth_access_token_set(self) -> bool:
        return bool(self.oauth_access_token)

    @property
    def is_oauth_refresh_token_set(self) -> bool:
        return bool(self.oauth_refresh_token)

    @property
    def receiving_postponed_until(self) -> datetime | None:
        return self._learned(Operation.INCOMING, "postponed_until")  # type: ignore[no-any-return]

    @property
    def receiving_postponed_until_for_act(self) -> datetime | None:
        return self._learned(Operation.ACT, "postponed_until")  # type: ignore[no-any-return]

    @property
    def postpone_sending_until(self) -> datetime | None:
        return self._learned(Operation.OUTGOING, "postponed_until")  # type: ignore[no-any-return]

    @property
    def transient_failure_count(self) -> int:
        rows = self.workloads.all()
        return sum(row.consecutive_failures for row in rows)

    @property
    def no_email_count(self) -> int:
        return int(self._learned(Operation.INCOMING, "idle_cycles", 0))

    @property
    def no_act_count(self) -> int:
        return int(self._learned(Operation.ACT, "idle_cycles", 0))

    @property
    def host_id(self) -> str:
        return str(self._learned(Operation.INCOMING, "lease_holder", ""))

    @property
    def last_sync_started_on(self) -> datetime | None:
        return self._learned(Operation.INCOMING, "last_started_at")  # type: ignore[no-any-return]

    @property
    def processing_last_attempted_on(self) -> datetime | None:
        return self.last_sync_started_on

    @property
    def last_successful_sync_completed_on(self) -> datetime | None:
        return self._learned(Operation.INCOMING, "last_success_at")  # type: ignore[no-any-return]

    @property
    def items_processed_for_last_sync(self) -> int:
        return int(self._learned(Operation.INCOMING, "last_items_processed", 0))

    @property
    def items_failed_for_last_sync(self) -> int:
        return int(self._learned(Operation.INCOMING, "last_items_failed", 0))

    @property
    def last_sync_error(self) -> str:
        return str(self._learned(Operation.INCOMING, "last_error_text", ""))

    @property
    def last_sync_error_code(self) -> str:
        return str(self._learned(Operation.INCOMING, "last_error_code", ""))

    @property
    def last_sync_error_count(self) -> int:
        return int(self._learned(Operation.INCOMING, "consecutive_failures", 0))

    @property
    def last_sync_error_occurred_on(self) -> datetime | None:
        return self._learned(Operation.INCOMING, "last_error_at")  # type: ignore[no-any-return]

    @property
    def last_sync_error_machine_name(self) -> str:
        return str(self._learned(Operation.INCOMING, "last_error_host", ""))

    @property
    def last_duration(self) -> int:
        return int(self._learned(Operation.INCOMING, "last_duration_ms", -1))

    @property
    def processed_times(self) -> int:
        return int(self._learned(Operation.INCOMING, "cycles", 0))

    @property
    def forced_unlock_count(self) -> int:
        return int(self._learned(Operation.INCOMING, "leases_broken", 0))

    @property
    def test_mailbox_access_completed_on(self) -> datetime | None:
        rows = self.workloads.all()
        return max((row.tested_at for row in rows if row.tested_at), default=None)

    @property
    def test_email_configuration_retry_count(self) -> int:
        rows = self.workloads.all()
        return max((row.test_attempts for row in rows), default=0)
