"""What the audit trail tells of."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class AuditKind(TextChoices):
    """One sort of entry."""

    SIGNED_IN = "signed_in", _("Signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("Sign-in failed")
    THROTTLED = "throttled", _("Sign-in held back")
    SIGNED_OUT = "signed_out", _("Signed out")
    FACTOR_PASSED = "factor_passed", _("Second factor given")
    FACTOR_FAILED = "factor_failed", _("Second factor failed")
    RECOVERY_USED = "recovery_used", _("Recovery code used")
    FACTOR_ADDED = "factor_added", _("Second factor set up")
    FACTOR_REMOVED = "factor_removed", _("Second factor removed")
    FACTOR_RESET = "factor_reset", _("Second factor reset by an administrator")
    CODES_RENEWED = "codes_renewed", _("New recovery codes made")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    GRANTED = "granted", _("Right given")
    REVOKED = "revoked", _("Right taken away")
    SECRET_SET = "secret_set", _("Secret set")
    SECRET_REMOVED = "secret_removed", _("Secret removed")
    ADDED = "added", _("Made")
    CHANGED = "changed", _("Changed")
    DELETED = "deleted", _("Deleted")
    ACTION = "action", _("Action")
