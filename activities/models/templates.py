"""Template and EmailSignature: what is written again and again."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Owned, Queue, Record, Stamped


class TemplateFor(models.TextChoices):
    """template.templatetypecode: the kind of record whose fields the template may use."""

    ANY = "", _("Any email")
    CASE = "incident", _("Case")


class Wording(Record, Stamped, Owned):
    """What a template and a signature have in common."""

    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    body = models.TextField(
        _("text"),
        blank=True,
        help_text=_("HTML. Names in double braces are replaced when it is used."),
    )
    is_personal = models.BooleanField(
        _("for me only"), default=True, help_text=_("Off: everybody may use it.")
    )

    class Meta(Owned.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.title


class Template(Wording):
    """template. How it becomes a message is `activities.wording`'s."""

    template_type_code = models.CharField(
        _("for"),
        max_length=20,
        choices=TemplateFor.choices,
        default=TemplateFor.ANY,
        blank=True,
        help_text=_("Only templates for cases may name fields of the case."),
    )
    subject = models.CharField(_("subject"), max_length=800, blank=True)

    class Meta(Wording.Meta):
        verbose_name = _("template")
        verbose_name_plural = _("templates")
        ordering = ["title"]


class EmailSignature(Wording):
    """emailsignature. The default one of its owner, or of the queue it is for, is put below
    what is newly written."""

    is_default = models.BooleanField(
        _("default"),
        default=False,
        help_text=_("It is put below every new email of its owner, or of its queue."),
    )
    queue = models.ForeignKey(
        Queue,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="signatures",
        verbose_name=_("queue"),
        help_text=_("Whoever writes as this queue may use it."),
    )

    class Meta(Wording.Meta):
        verbose_name = _("signature")
        verbose_name_plural = _("signatures")
        ordering = ["title"]
        constraints = [
            *Owned.Meta.constraints,
            models.UniqueConstraint(
                fields=["owning_user"],
                condition=Q(is_default=True, queue__isnull=True),
                name="signature_one_default_per_user",
                violation_error_message=_("This user has a default signature already."),
            ),
            models.UniqueConstraint(
                fields=["queue"],
                condition=Q(is_default=True),
                name="signature_one_default_per_queue",
                violation_error_message=_("This queue has a default signature already."),
            ),
        ]
