"""Incident, which people call a case: what a customer wants, until it is settled."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from activities.choices import (
    CASE_STATE,
    CaseOrigin,
    CasePriority,
    CaseState,
    CaseStatus,
    CaseType,
)
from activities.models.emails import Email
from activities.models.records import Account, Contact
from mailboxes.models import Owned, Record, Stamped


class Incident(Record, Stamped, Owned):
    """incident. Its state is derived from its status. Numbers and states are those of `activities.cases`.

    The customer is an account or a contact, one column for each; deleting a customer with cases is
    refused, for what was promised is not forgotten with the address book.
    """

    title = models.CharField(_("title"), max_length=200)
    ticket_number = models.CharField(
        _("case number"), max_length=100, unique=True, blank=True, editable=False
    )
    customer_account = models.ForeignKey(
        Account,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="cases",
        verbose_name=_("customer (account)"),
        help_text=_("Leave empty if the customer is a person without a company."),
    )
    customer_contact = models.ForeignKey(
        Contact,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="cases",
        verbose_name=_("customer (contact)"),
        help_text=_("Leave empty if the customer is an account."),
    )
    primary_contact = models.ForeignKey(
        Contact,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("contact"),
        help_text=_("The person at the account."),
    )
    email_address = models.EmailField(_("email"), max_length=100, blank=True)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    case_origin_code = models.IntegerField(
        _("origin"), choices=CaseOrigin.choices, null=True, blank=True
    )
    case_type_code = models.IntegerField(_("kind"), choices=CaseType.choices, null=True, blank=True)
    priority_code = models.IntegerField(
        _("priority"), choices=CasePriority.choices, default=CasePriority.NORMAL
    )
    status_code = models.IntegerField(
        _("status"), choices=CaseStatus.choices, default=CaseStatus.IN_PROGRESS
    )
    parent_case = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("parent case"),
    )
    # Ours
    resolved_on = models.DateTimeField(_("resolved on"), null=True, blank=True, editable=False)
    created_from = models.ForeignKey(
        Email,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="created_cases",
        verbose_name=_("created from"),
        help_text=_("The email from which a record-creation rule made it (R3.59)."),
    )

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        ordering = ["-created_on"]
        constraints = [
            *Owned.Meta.constraints,
            models.CheckConstraint(
                condition=Q(customer_account__isnull=False, customer_contact__isnull=True)
                | Q(customer_account__isnull=True, customer_contact__isnull=False),
                name="incident_one_customer",
                violation_error_message=_(
                    "A case has exactly one customer. Choose either an account or a contact."
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.ticket_number})" if self.ticket_number else self.title

    @property
    def customer(self) -> Account | Contact | None:
        return self.customer_account or self.customer_contact

    @property
    def state_code(self) -> CaseState:
        return CASE_STATE[CaseStatus(self.status_code)]

    @property
    def is_active_state(self) -> bool:
        return self.state_code == CaseState.ACTIVE
