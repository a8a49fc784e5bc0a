"""Record-creation rules: what becomes of mail that comes to a queue (section 3.8)."""

from datetime import timedelta

from django.db import models
from django.db.models import IntegerChoices, Q
from django.utils.translation import gettext_lazy as _

from activities.choices import CasePriority, CaseType
from activities.models import Template
from mailboxes.models import Owned, Queue, Record, Stamped

MOST_CONDITIONS = 5  # of one item: as many lines as its form has


class RuleState(IntegerChoices):
    """convertrule.statecode."""

    DRAFT = 0, _("Draft")
    ACTIVE = 1, _("Active")


class RuleStatus(IntegerChoices):
    """convertrule.statuscode: one for each state."""

    DRAFT = 1, _("Draft")
    ACTIVE = 2, _("Active")


class RuleSource(IntegerChoices):
    """convertrule.sourcetypecode."""

    SOCIAL = 1, _("Social Monitoring")
    EMAIL = 2, _("Email")


class ConvertRule(Record, Stamped, Owned):
    """convertrule (R3.58, R3.59). Made, changed and switched by `tracking.rules`; acts by
    `tracking.creation`, with the rights of its owner, who is a user."""

    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    source_type_code = models.IntegerField(
        _("source"), choices=RuleSource.choices, default=RuleSource.EMAIL, editable=False
    )
    queue = models.ForeignKey(
        Queue,
        models.CASCADE,
        related_name="convert_rules",
        verbose_name=_("queue"),
        help_text=_("Mail that comes to this queue. It needs an address (R3.58)."),
    )
    allow_unknown_sender = models.BooleanField(
        _("also from unknown senders"),
        default=False,
        help_text=_("A contact is made of the sender, whatever anybody's personal options say."),
    )
    check_active_entitlement = models.BooleanField(
        _("only with a valid entitlement"),
        default=False,
        editable=False,
        help_text=_("Not built: entitlements are not kept here."),
    )
    check_if_resolved = models.BooleanField(
        _("also for mail about a resolved case"),
        default=False,
        help_text=_("Off: such mail is filed under the case that was resolved."),
    )
    resolved_since = models.PositiveIntegerField(
        _("resolved for at least (minutes)"),
        default=0,
        help_text=_("Mail about a case that was resolved more recently is filed under that one."),
    )
    send_automatic_response = models.BooleanField(
        _("answer automatically"),
        default=False,
        help_text=_("From the queue's address, when a case was made; never to automatic mail."),
    )
    response_template = models.ForeignKey(
        Template,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("template of the answer"),
    )
    state_code = models.IntegerField(
        _("state"), choices=RuleState.choices, default=RuleState.DRAFT, editable=False
    )

    class Meta:
        verbose_name = _("record-creation rule")
        verbose_name_plural = _("record-creation rules")
        ordering = ["queue__name", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(owning_user__isnull=False, owning_team__isnull=True),
                name="convertrule_owned_by_a_user",
                violation_error_message=_(
                    "A rule is owned by a user, with whose rights it makes records. (R3.58)"
                ),
            ),
            models.CheckConstraint(
                condition=Q(send_automatic_response=False) | Q(response_template__isnull=False),
                name="convertrule_answers_with_a_template",
                violation_error_message=_(
                    "Choose the template of the answer, or send none. (R3.59)"
                ),
            ),
            models.UniqueConstraint(
                fields=["source_type_code", "queue"],
                condition=Q(state_code=RuleState.ACTIVE),
                name="convertrule_one_active_per_queue",
                violation_error_message=_(
                    "This queue has an active rule already. Deactivate that one first. (R3.58)"
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active_state(self) -> bool:
        return self.state_code == RuleState.ACTIVE

    @property
    def status_code(self) -> RuleStatus:
        return RuleStatus.ACTIVE if self.is_active_state else RuleStatus.DRAFT

    @property
    def resolved_for(self) -> timedelta:
        return timedelta(minutes=self.resolved_since)


class ConvertRuleItem(Record):
    """convertruleitem: the first one of a rule whose conditions all hold says what the case is like."""

    convert_rule = models.ForeignKey(
        ConvertRule, models.CASCADE, related_name="items", verbose_name=_("rule")
    )
    sequence_number = models.PositiveIntegerField(_("order"), default=1)
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    conditions = models.JSONField(
        _("conditions"),
        default=list,
        blank=True,
        help_text=_("All of them must hold. Without any, every message will do."),
    )
    priority_code = models.IntegerField(
        _("priority of the case"), choices=CasePriority.choices, default=CasePriority.NORMAL
    )
    case_type_code = models.IntegerField(
        _("kind of case"), choices=CaseType.choices, null=True, blank=True
    )

    class Meta:
        verbose_name = _("item of a rule")
        verbose_name_plural = _("items, in their order")
        ordering = ["sequence_number"]
        constraints = [
            models.UniqueConstraint(
                fields=["convert_rule", "sequence_number"],
                name="convertruleitem_order",
                violation_error_message=_("Two items of a rule can't have the same number."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.sequence_number}. {self.name}"
