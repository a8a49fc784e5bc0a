"""Access: the roles that were shipped, second factors, brakes on sign-ins, and the audit trail."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.fields import SecretField
from serversync.people.choices import AuditKind


class ShippedRole(models.Model):
    """Ours: which group a shipped role became, and which permissions it was ever given by the product. What a
    site takes away stays away, for it was given once."""

    key = models.CharField(_("role"), max_length=40, primary_key=True)
    group = models.OneToOneField(
        Group,
        models.SET_NULL,
        null=True,
        related_name="shipped_role",
        verbose_name=_("group"),
        help_text=_("Empty once a site has deleted the group; it isn't made again by itself."),
    )
    given = models.JSONField(
        _("permissions given"),
        default=list,
        help_text=_("By their names. Only what is missing here is added by an update."),
    )

    class Meta:
        verbose_name = _("shipped role")
        verbose_name_plural = _("shipped roles")

    def __str__(self) -> str:
        return self.key


class Authenticator(models.Model):
    """Ours: an app that shows a new code every 30 seconds (TOTP). Its key is stored encrypted."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="authenticator",
        verbose_name=_("user"),
    )
    key = SecretField(_("key"))
    last_step = models.BigIntegerField(
        _("last step"), default=-1, help_text=_("Of the last code taken: none is taken twice.")
    )
    added_on = models.DateTimeField(_("set up on"))

    class Meta:
        verbose_name = _("authenticator")
        verbose_name_plural = _("authenticators")

    def __str__(self) -> str:
        return str(self.user)


class RecoveryCode(models.Model):
    """Ours: a code that stands in for the authenticator once. Only its digest is stored."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user")
    )
    digest = models.CharField(_("digest"), max_length=64)
    used_on = models.DateTimeField(_("used on"), null=True)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="recoverycode_once"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class SignInBrake(models.Model):
    """Ours: failed sign-ins of one account, one address, or both together."""

    key = models.CharField(
        _("key"), max_length=64, primary_key=True, help_text=_("A digest: it names nobody.")
    )
    failures = models.PositiveIntegerField(_("failures"), default=0)
    last_on = models.DateTimeField(_("last on"), db_index=True)
    known_on = models.DateTimeField(
        _("last success"),
        null=True,
        help_text=_("When this account last signed in from this address."),
    )

    class Meta:
        verbose_name = _("brake on sign-ins")
        verbose_name_plural = _("brakes on sign-ins")

    def __str__(self) -> str:
        return self.key


class AuditEntry(models.Model):
    """Ours: who did what, when, from where. Never a secret, never a subject or a body."""

    at = models.DateTimeField(_("when"), db_index=True)
    kind = models.CharField(_("what"), max_length=20, choices=AuditKind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("who"),
    )
    actor_name = models.CharField(
        _("name of who did it"), max_length=254, blank=True, help_text=_("Stays after the user.")
    )
    about_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("whose account"),
    )
    subject_type = models.CharField(_("kind of record"), max_length=100, blank=True)
    subject_id = models.CharField(_("key of the record"), max_length=64, blank=True)
    subject_name = models.CharField(
        _("record"),
        max_length=254,
        blank=True,
        help_text=_("Only of configuration: records of mail and people are named by their kind."),
    )
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    address = models.GenericIPAddressField(_("from"), null=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit trail")
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["subject_type", "subject_id"], name="auditentry_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject_name}".strip()
