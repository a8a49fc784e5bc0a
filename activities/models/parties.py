"""ActivityParty: who takes part in an activity, and in which role."""

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.choices import AttendeeResponse, DeliveryResult, InstanceType, ParticipationType
from activities.models.pointer import ActivityPointer
from mailboxes.models import Record


class ActivityParty(Record):
    """activityparty. An unresolved address has no party, only `address_used` (R3.37)."""

    activity = models.ForeignKey(ActivityPointer, models.CASCADE, related_name="parties")
    participation_type_mask = models.IntegerField(_("role"), choices=ParticipationType.choices)
    party_type = models.ForeignKey(
        ContentType, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    party_id = models.CharField(_("party"), max_length=64, blank=True)
    address_used = models.CharField(_("address used"), max_length=320, blank=True)
    address_used_email_column_number = models.PositiveSmallIntegerField(null=True, blank=True)
    unresolved_party_name = models.CharField(_("name"), max_length=200, blank=True)
    is_party_deleted = models.BooleanField(default=False)
    do_not_email = models.BooleanField(_("do not email"), default=False)
    do_not_phone = models.BooleanField(default=False)
    do_not_fax = models.BooleanField(default=False)
    do_not_postal_mail = models.BooleanField(default=False)
    exchange_entry_id = models.CharField(max_length=1024, blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    external_id_type = models.CharField(max_length=200, blank=True)
    instance_type_code = models.IntegerField(
        choices=InstanceType.choices, default=InstanceType.NOT_RECURRING
    )
    scheduled_start = models.DateTimeField(null=True, blank=True)
    scheduled_end = models.DateTimeField(null=True, blank=True)
    # Ours
    position = models.PositiveIntegerField(default=0, help_text=_("Order within the role."))
    delivery_result = models.IntegerField(
        _("delivery"), choices=DeliveryResult.choices, default=DeliveryResult.NONE
    )
    delivery_detail = models.CharField(_("server's answer"), max_length=500, blank=True)
    response = models.CharField(
        _("answer"),
        max_length=10,
        choices=AttendeeResponse.choices,
        default=AttendeeResponse.NONE,
        help_text=_("What an attendee said to the invitation."),
    )
    responded_on = models.DateTimeField(_("answered"), null=True, blank=True)

    class Meta:
        verbose_name = _("activity party")
        verbose_name_plural = _("activity parties")
        ordering = ["participation_type_mask", "position"]
        indexes = [
            models.Index(fields=["party_type", "party_id"], name="party_record"),
            models.Index(fields=["address_used"], name="party_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_participation_type_mask_display()}: {self.address_used}"

    @property
    def is_resolved(self) -> bool:
        return bool(self.party_type_id and self.party_id)
