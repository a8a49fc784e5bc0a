"""Which settings "what if" can change, and how a person's texts become values of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import BooleanField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailboxes.choices import FilteringMethod
from mailboxes.models import Organization, Queue, SystemUser
from tracking.acceptance import PartyKey
from tracking.again import Settings
from tracking.choices import PartyKind

#: Grouped as on the organization's page. Not here: what decides whether mail is read at all.
GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gettext_lazy("Organization"), ("strict_parity",)),
    (
        gettext_lazy("Which incoming mail is tracked"),
        (
            "use_filtering_method_of_syncing_mailbox_only_for_correlation",
            "sss_force_filtering_method_for_user_mailboxes",
            "sender_filters_accept_replies",
            "do_not_auto_track_auto_submitted",
            "use_envelope_evidence",
            "own_email_needs_permission",
            "use_date_watermark",
            "ignore_internal_email",
            "do_not_ignore_internal_email_to_queues",
            "ignore_internal_email_from_queues",
            "ignore_internal_email_detection_enhancement",
            "restrict_irm_email_items",
        ),
    ),
    (
        gettext_lazy("Addresses"),
        (
            "ignore_inactive_records_in_resolution",
            "unresolve_email_address_if_multiple_match",
            "unresolve_sender_in_case_of_multiple_match",
            "auto_create_contact_on_promote",
        ),
    ),
    (
        gettext_lazy("Correlation"),
        (
            "email_correlation_enabled",
            "ignore_conversation_index_and_in_reply_to_for_correlation",
            "use_tracking_tokens",
            "tracking_prefix",
            "check_token_participants",
            "enable_smart_matching",
            "hash_filter_keywords",
            "hash_max_count",
            "hash_delta_subject_count",
            "hash_min_address_count",
            "smart_matching_days",
        ),
    ),
    (
        gettext_lazy("Attachments and queues"),
        (
            "max_upload_file_size_kb",
            "blocked_attachments",
            "create_queue_items_for_accepting_queue_recipients",
            "create_queue_item_for_synchronizing_mailbox",
            "sss_create_additional_queue_items_for_already_tracked_email",
            "route_email_to_default_queue",
        ),
    ),
)
SETTABLE = tuple(name for _group, names in GROUPS for name in names)
WORDS = {"on": True, "yes": True, "true": True, "1": True}
WORDS |= {"off": False, "no": False, "false": False, "0": False}


def settings_of(settings: Iterable[str], filters: Iterable[str]) -> Settings:
    """From "name=value" and "address=filter". Raises ValidationError with what is wrong, in words."""
    columns = dict(_setting(text) for text in settings)
    return Settings(organization=columns, filters=dict(_filter(text) for text in filters))


def value_of(name: str, text: str) -> Any:
    """What a column of the organization would hold. Raises ValidationError."""
    if name not in SETTABLE:
        raise ValidationError(
            _("“%(name)s” is no setting that decides what becomes of mail. There are: %(names)s.")
            % {"name": name, "names": ", ".join(SETTABLE)}
        )
    field: Any = Organization._meta.get_field(name)
    if isinstance(field, BooleanField):
        if text.strip().lower() not in WORDS:
            raise ValidationError(
                _("“%(name)s” is on or off, not “%(text)s”.") % {"name": name, "text": text}
            )
        return WORDS[text.strip().lower()]
    try:
        return field.clean(text, None)
    except ValidationError as error:
        raise ValidationError(f"{name}: {' '.join(error.messages)}") from error


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValidationError(_("“%(text)s”: write name=value.") % {"text": text})
    return name.strip(), value_of(name.strip(), value)


def _filter(text: str) -> tuple[PartyKey, FilteringMethod]:
    address, equals, value = text.rpartition("=")
    if not equals:
        raise ValidationError(_("“%(text)s”: write address=filter.") % {"text": text})
    return _party(address.strip()), filter_of(value.strip())


def filter_of(text: str) -> FilteringMethod:
    """By its number or its name: 0 or all, ... Raises ValidationError."""
    for method in FilteringMethod:
        if text.lower().replace("-", "_") in (method.name.lower(), str(method.value)):
            return method
    raise ValidationError(
        _("“%(text)s” is no filter. There are: %(names)s.")
        % {"text": text, "names": ", ".join(m.name.lower() for m in FilteringMethod)}
    )


def _party(address: str) -> PartyKey:
    queue = Queue.objects.filter(email_address__iexact=address).first()
    if queue is not None:
        return (PartyKind.QUEUE.value, str(queue.pk))
    user = SystemUser.objects.filter(internal_email_address__iexact=address).first()
    if user is not None:
        return (PartyKind.USER.value, str(user.pk))
    raise ValidationError(
        _("No user and no queue has the address “%(address)s”.") % {"address": address}
    )


def changed(organization: Organization, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that differ from how they are."""
    return {name: value for name, value in values.items() if getattr(organization, name) != value}
