"""People and teams."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import AccessMode, AutoCreate, FilteringMethod, Reach, TeamType
from mailboxes.models.base import Record, Stamped
from mailboxes.models.organization import check_filter
from mailboxes.timezones import check_zone


class SystemUserManager(BaseUserManager["SystemUser"]):
    def create_user(
        self, domain_name: str, password: str | None = None, **fields: Any
    ) -> "SystemUser":
        user = self.model(domain_name=domain_name.strip(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, domain_name: str, password: str | None = None, **fields: Any
    ) -> "SystemUser":
        return self.create_user(domain_name, password, is_superuser=True, **fields)


class SystemUser(AbstractBaseUser, PermissionsMixin, Record, Stamped):
    """systemuser: who signs in, and whose mail is synchronized."""

    domain_name = models.CharField(
        _("sign-in name"),
        max_length=254,
        unique=True,
        help_text=_("The name this person signs in with."),
    )
    first_name = models.CharField(_("first name"), max_length=256, blank=True)
    middle_name = models.CharField(_("middle name"), max_length=50, blank=True)
    last_name = models.CharField(_("last name"), max_length=256, blank=True)
    internal_email_address = models.EmailField(
        _("primary email"),
        max_length=100,
        blank=True,
        help_text=_(
            "The address of this user's mailbox. A change here changes the mailbox (R1.4)."
        ),
    )
    personal_email_address = models.EmailField(
        _("email 2"),
        max_length=100,
        blank=True,
        help_text=_("Recipients with this address resolve to the user, too (R1.7)."),
    )
    mobile_alert_email = models.EmailField(
        _("mobile alert email"),
        max_length=100,
        blank=True,
        help_text=_("Recipients with this address resolve to the user, too (R1.7)."),
    )
    is_disabled = models.BooleanField(
        _("disabled"),
        default=False,
        help_text=_("A disabled user can't sign in, and the mailbox becomes inactive (R1.41)."),
    )
    disabled_reason = models.CharField(_("disabled reason"), max_length=500, blank=True)
    access_mode = models.IntegerField(
        _("access mode"), choices=AccessMode.choices, default=AccessMode.READ_WRITE
    )
    is_licensed = models.BooleanField(
        _("licensed"),
        default=True,
        help_text=_("Mail of users without a licence is not processed (R3.29)."),
    )
    job_title = models.CharField(_("job title"), max_length=100, blank=True)
    title = models.CharField(_("title"), max_length=128, blank=True)
    nickname = models.CharField(_("nickname"), max_length=50, blank=True)
    address1_telephone1 = models.CharField(_("main phone"), max_length=64, blank=True)
    mobile_phone = models.CharField(_("mobile phone"), max_length=64, blank=True)
    home_phone = models.CharField(_("home phone"), max_length=50, blank=True)
    parent_system_user = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("manager")
    )
    queue = models.ForeignKey(
        "mailboxes.Queue",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default queue"),
    )

    second_factor_since = models.DateTimeField(
        _("second factor since"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Ours: when an authenticator was set up; empty without one."),
    )

    objects: ClassVar[SystemUserManager] = SystemUserManager()

    USERNAME_FIELD = "domain_name"
    EMAIL_FIELD = "internal_email_address"
    REQUIRED_FIELDS = ["internal_email_address"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["domain_name"]
        permissions = [
            ("send_as_another_user", _("Can send email as another user (R5.24)")),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        names = (self.first_name, self.middle_name, self.last_name)
        return " ".join(name for name in names if name) or self.domain_name

    def get_short_name(self) -> str:
        return self.first_name or self.domain_name

    def get_full_name(self) -> str:
        return self.full_name

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Sessions end with the password, and with the second factor, that they began with."""
        plain = str(super()._get_session_auth_hash(secret))  # type: ignore[misc]
        since = self.second_factor_since
        return f"{plain}{since.timestamp()}" if since else plain

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Django's word for it: may sign in."""
        return not self.is_disabled

    @property
    def is_staff(self) -> bool:
        """May open the console; what is seen there is decided by permissions and row rules."""
        return self.is_active and self.access_mode != AccessMode.NON_INTERACTIVE

    @property
    def state_code(self) -> int:
        """Users have no statecode; isdisabled is their state."""
        return int(self.is_disabled)


class UserSettings(models.Model):
    """usersettings: one row per user, made with the user."""

    system_user = models.OneToOneField(
        SystemUser,
        models.CASCADE,
        primary_key=True,
        related_name="settings",
        verbose_name=_("user"),
    )
    incoming_email_filtering_method = models.IntegerField(
        _("track"),
        choices=FilteringMethod.choices,
        default=FilteringMethod.RESPONSES,
        help_text=_("Which incoming mail becomes an email activity (R3.16)."),
    )
    auto_create_contact_on_promote = models.IntegerField(
        _("automatically create"),
        choices=AutoCreate.choices,
        default=AutoCreate.NONE,
        help_text=_("What to create for unknown senders (R3.57)."),
    )
    is_send_as_allowed = models.BooleanField(
        _("allow others to send on my behalf"),
        default=False,
        help_text=_("Others who hold the privilege may send mail as this user (R5.24)."),
    )
    tracking_token_id = models.IntegerField(
        _("tracking number"),
        null=True,
        blank=True,
        editable=False,
        unique=True,
        help_text=_("Running number in tracking tokens, given with the first one (R4.7)."),
    )
    next_tracking_number = models.IntegerField(
        _("next tracking number"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Counter of the next tracking token; empty: 1 (R4.8)."),
    )
    is_email_conversation_view_enabled = models.BooleanField(
        _("group email by conversation"), default=False
    )
    last_alerts_viewed_time = models.DateTimeField(
        _("alerts last viewed"), null=True, blank=True, editable=False
    )
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, help_text=_("An IANA name; empty: the site's.")
    )
    ui_language = models.CharField(_("language"), max_length=10, blank=True)

    class Meta:
        verbose_name = _("user settings")
        verbose_name_plural = _("user settings")

    def __str__(self) -> str:
        return str(self.system_user)

    def clean(self) -> None:
        check_filter(self.incoming_email_filtering_method)
        check_zone(self.time_zone)


class Team(Record, Stamped):
    """team: users who own records together."""

    name = models.CharField(_("name"), max_length=160, unique=True)
    email_address = models.EmailField(_("email"), max_length=100, blank=True)
    team_type = models.IntegerField(_("type"), choices=TeamType.choices, default=TeamType.OWNER)
    administrator = models.ForeignKey(
        SystemUser, models.PROTECT, related_name="+", verbose_name=_("administrator")
    )
    queue = models.ForeignKey(
        "mailboxes.Queue",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default queue"),
    )
    members = models.ManyToManyField(
        SystemUser, blank=True, related_name="teams", verbose_name=_("members")
    )

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class GroupReach(models.Model):
    """Ours: how far the permissions of a group go. A group without a row reaches own records."""

    group = models.OneToOneField(
        Group, models.CASCADE, primary_key=True, related_name="reach_row", verbose_name=_("group")
    )
    reach = models.IntegerField(
        _("reach"),
        choices=Reach.choices,
        default=Reach.OWN,
        help_text=_("Which records the permissions of this group apply to."),
    )

    class Meta:
        verbose_name = _("reach")
        verbose_name_plural = _("reach")

    def __str__(self) -> str:
        return f"{self.group}: {self.get_reach_display()}"
