"""Account, Contact and Lead: the business records that mail is from and about."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.choices import (
    LEAD_STATE,
    FamilyStatus,
    Gender,
    LeadState,
    LeadStatus,
    PreferredContactMethod,
)
from mailboxes.models import Owned, Record, Stamped, Stateful


class Reachable(models.Model):
    """Addresses and preferences that account, contact and lead have in common."""

    email_address1 = models.EmailField(_("email"), max_length=100, blank=True)
    email_address2 = models.EmailField(_("email 2"), max_length=100, blank=True)
    email_address3 = models.EmailField(_("email 3"), max_length=100, blank=True)
    do_not_email = models.BooleanField(_("do not allow email"), default=False)
    do_not_bulk_email = models.BooleanField(_("do not allow bulk email"), default=False)
    do_not_phone = models.BooleanField(_("do not allow phone calls"), default=False)
    do_not_fax = models.BooleanField(_("do not allow faxes"), default=False)
    do_not_postal_mail = models.BooleanField(_("do not allow mail"), default=False)
    follow_email = models.BooleanField(_("follow email"), default=True)
    preferred_contact_method_code = models.IntegerField(
        _("preferred method of contact"),
        choices=PreferredContactMethod.choices,
        default=PreferredContactMethod.ANY,
    )

    class Meta:
        abstract = True


#: How long the notes on a person may be: Exchange's are as long as any body, and must not come back cut.
LONGEST_BODY = 1_048_576
_LINES = ("line1", "line2", "line3", "postal_code", "city", "state_or_province", "country")


def _full_name(*names: str) -> str:
    return " ".join(name for name in names if name)


def _address(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


class Account(Record, Stamped, Owned, Stateful, Reachable):
    """account."""

    name = models.CharField(_("account name"), max_length=160)
    account_number = models.CharField(_("account number"), max_length=20, blank=True)
    telephone1 = models.CharField(_("main phone"), max_length=50, blank=True)
    telephone2 = models.CharField(_("other phone"), max_length=50, blank=True)
    telephone3 = models.CharField(_("third phone"), max_length=50, blank=True)
    fax = models.CharField(_("fax"), max_length=50, blank=True)
    website_url = models.URLField(_("website"), max_length=200, blank=True)
    primary_contact = models.ForeignKey(
        "Contact",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("primary contact"),
    )
    parent_account = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("parent account"),
    )
    address1_line1 = models.CharField(_("street 1 1"), max_length=250, blank=True)
    address1_line2 = models.CharField(_("street 2 1"), max_length=250, blank=True)
    address1_line3 = models.CharField(_("street 3 1"), max_length=250, blank=True)
    address1_city = models.CharField(_("city 1"), max_length=80, blank=True)
    address1_state_or_province = models.CharField(
        _("state or province 1"), max_length=50, blank=True
    )
    address1_postal_code = models.CharField(_("postal code 1"), max_length=20, blank=True)
    address1_country = models.CharField(_("country 1"), max_length=80, blank=True)
    description = models.TextField(_("description"), max_length=2000, blank=True)

    class Meta(Owned.Meta):
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Contact(Record, Stamped, Owned, Stateful, Reachable):
    """contact: the superset of what Exchange contacts can map to."""

    first_name = models.CharField(_("first name"), max_length=50, blank=True)
    middle_name = models.CharField(_("middle name"), max_length=50, blank=True)
    last_name = models.CharField(_("last name"), max_length=50, blank=True)
    suffix = models.CharField(_("suffix"), max_length=10, blank=True)
    salutation = models.CharField(_("salutation"), max_length=100, blank=True)
    nickname = models.CharField(_("nickname"), max_length=100, blank=True)
    yomi_first_name = models.CharField(_("phonetic first name"), max_length=150, blank=True)
    yomi_middle_name = models.CharField(_("phonetic middle name"), max_length=150, blank=True)
    yomi_last_name = models.CharField(_("phonetic last name"), max_length=150, blank=True)
    job_title = models.CharField(_("job title"), max_length=100, blank=True)
    department = models.CharField(_("department"), max_length=100, blank=True)
    parent_account = models.ForeignKey(
        Account,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="contacts",
        verbose_name=_("account"),
    )
    parent_contact = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("parent contact"),
    )
    company = models.CharField(_("company phone"), max_length=50, blank=True)
    telephone1 = models.CharField(_("business phone"), max_length=50, blank=True)
    business2 = models.CharField(_("business phone 2"), max_length=50, blank=True)
    telephone2 = models.CharField(_("home phone"), max_length=50, blank=True)
    home2 = models.CharField(_("home phone 2"), max_length=50, blank=True)
    telephone3 = models.CharField(_("other phone"), max_length=50, blank=True)
    mobile_phone = models.CharField(_("mobile phone"), max_length=50, blank=True)
    callback = models.CharField(_("callback number"), max_length=50, blank=True)
    fax = models.CharField(_("fax"), max_length=50, blank=True)
    pager = models.CharField(_("pager"), max_length=50, blank=True)
    assistant_name = models.CharField(_("assistant"), max_length=100, blank=True)
    assistant_phone = models.CharField(_("assistant phone"), max_length=50, blank=True)
    manager_name = models.CharField(_("manager"), max_length=100, blank=True)
    manager_phone = models.CharField(_("manager phone"), max_length=50, blank=True)
    spouses_name = models.CharField(_("spouse or partner"), max_length=100, blank=True)
    childrens_names = models.CharField(_("children"), max_length=255, blank=True)
    birth_date = models.DateField(_("birthday"), null=True, blank=True)
    anniversary = models.DateField(_("anniversary"), null=True, blank=True)
    gender_code = models.IntegerField(_("gender"), choices=Gender.choices, null=True, blank=True)
    family_status_code = models.IntegerField(
        _("marital status"), choices=FamilyStatus.choices, null=True, blank=True
    )
    number_of_children = models.PositiveIntegerField(_("number of children"), null=True, blank=True)
    website_url = models.URLField(_("website"), max_length=200, blank=True)
    ftp_site_url = models.CharField(_("FTP site"), max_length=200, blank=True)
    government_id = models.CharField(_("government id"), max_length=50, blank=True)
    employee_id = models.CharField(_("employee id"), max_length=50, blank=True)
    description = models.TextField(_("description"), max_length=LONGEST_BODY, blank=True)
    is_auto_create = models.BooleanField(_("created from mail"), default=False, editable=False)
    preferred_system_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("preferred user"),
    )
    address1_line1 = models.CharField(_("street 1 1"), max_length=250, blank=True)
    address1_line2 = models.CharField(_("street 2 1"), max_length=250, blank=True)
    address1_line3 = models.CharField(_("street 3 1"), max_length=250, blank=True)
    address1_city = models.CharField(_("city 1"), max_length=80, blank=True)
    address1_state_or_province = models.CharField(
        _("state or province 1"), max_length=50, blank=True
    )
    address1_postal_code = models.CharField(_("postal code 1"), max_length=20, blank=True)
    address1_country = models.CharField(_("country 1"), max_length=80, blank=True)
    address1_post_office_box = models.CharField(_("PO box 1"), max_length=20, blank=True)
    address1_county = models.CharField(_("county 1"), max_length=50, blank=True)
    address1_name = models.CharField(_("address name 1"), max_length=200, blank=True)
    address1_telephone1 = models.CharField(_("address phone 1"), max_length=50, blank=True)
    address2_line1 = models.CharField(_("street 1 2"), max_length=250, blank=True)
    address2_line2 = models.CharField(_("street 2 2"), max_length=250, blank=True)
    address2_line3 = models.CharField(_("street 3 2"), max_length=250, blank=True)
    address2_city = models.CharField(_("city 2"), max_length=80, blank=True)
    address2_state_or_province = models.CharField(
        _("state or province 2"), max_length=50, blank=True
    )
    address2_postal_code = models.CharField(_("postal code 2"), max_length=20, blank=True)
    address2_country = models.CharField(_("country 2"), max_length=80, blank=True)
    address3_line1 = models.CharField(_("street 1 3"), max_length=250, blank=True)
    address3_line2 = models.CharField(_("street 2 3"), max_length=250, blank=True)
    address3_line3 = models.CharField(_("street 3 3"), max_length=250, blank=True)
    address3_city = models.CharField(_("city 3"), max_length=80, blank=True)
    address3_state_or_province = models.CharField(
        _("state or province 3"), max_length=50, blank=True
    )
    address3_postal_code = models.CharField(_("postal code 3"), max_length=20, blank=True)
    address3_country = models.CharField(_("country 3"), max_length=80, blank=True)

    class Meta(Owned.Meta):
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        ordering = ["last_name", "first_name"]

    def __str__(self) -> str:
        return self.full_name or self.email_address1 or str(self.pk)

    @property
    def full_name(self) -> str:
        return _full_name(self.first_name, self.middle_name, self.last_name)

    @property
    def yomi_full_name(self) -> str:
        return _full_name(self.yomi_first_name, self.yomi_middle_name, self.yomi_last_name)

    @property
    def address1_composite(self) -> str:
        return self._composite(1)

    @property
    def address2_composite(self) -> str:
        return self._composite(2)

    @property
    def address3_composite(self) -> str:
        return self._composite(3)

    def _composite(self, number: int) -> str:
        """One address as it stands on an envelope."""
        said = {name: getattr(self, f"address{number}_{name}") for name in _LINES}
        place = _full_name(said["postal_code"], said["city"])
        streets = (said["line1"], said["line2"], said["line3"])
        return _address(*streets, place, said["state_or_province"], said["country"])


class Lead(Record, Stamped, Owned, Reachable):
    """lead. Its state is derived from its status."""

    subject = models.CharField(_("topic"), max_length=300)
    first_name = models.CharField(_("first name"), max_length=50, blank=True)
    middle_name = models.CharField(_("middle name"), max_length=50, blank=True)
    last_name = models.CharField(_("last name"), max_length=50, blank=True)
    salutation = models.CharField(_("salutation"), max_length=100, blank=True)
    job_title = models.CharField(_("job title"), max_length=100, blank=True)
    company_name = models.CharField(_("company name"), max_length=100, blank=True)
    telephone1 = models.CharField(_("business phone"), max_length=50, blank=True)
    telephone2 = models.CharField(_("home phone"), max_length=50, blank=True)
    telephone3 = models.CharField(_("other phone"), max_length=50, blank=True)
    mobile_phone = models.CharField(_("mobile phone"), max_length=20, blank=True)
    pager = models.CharField(_("pager"), max_length=20, blank=True)
    fax = models.CharField(_("fax"), max_length=50, blank=True)
    website_url = models.URLField(_("website"), max_length=200, blank=True)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    address1_line1 = models.CharField(_("street 1 1"), max_length=250, blank=True)
    address1_line2 = models.CharField(_("street 2 1"), max_length=250, blank=True)
    address1_line3 = models.CharField(_("street 3 1"), max_length=250, blank=True)
    address1_city = models.CharField(_("city 1"), max_length=80, blank=True)
    address1_state_or_province = models.CharField(
        _("state or province 1"), max_length=50, blank=True
    )
    address1_postal_code = models.CharField(_("postal code 1"), max_length=20, blank=True)
    address1_country = models.CharField(_("country 1"), max_length=80, blank=True)
    parent_account = models.ForeignKey(
        Account,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("existing account"),
    )
    parent_contact = models.ForeignKey(
        Contact,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("existing contact"),
    )
    is_auto_create = models.BooleanField(_("created from mail"), default=False, editable=False)
    status_code = models.IntegerField(
        _("status"), choices=LeadStatus.choices, default=LeadStatus.NEW
    )

    class Meta(Owned.Meta):
        verbose_name = _("lead")
        verbose_name_plural = _("leads")
        ordering = ["-created_on"]

    def __str__(self) -> str:
        return self.full_name or self.subject

    @property
    def full_name(self) -> str:
        return _full_name(self.first_name, self.middle_name, self.last_name)

    @property
    def state_code(self) -> LeadState:
        return LEAD_STATE[LeadStatus(self.status_code)]

    @property
    def is_active_state(self) -> bool:
        return self.state_code == LeadState.OPEN
