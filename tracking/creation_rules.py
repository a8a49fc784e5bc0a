"""Record-creation rules, as people switch them: an active rule can act, and is left as it is (R3.58)."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from activities.models import Contact, Incident, TemplateFor
from activities.wording import fields_for, unknown_fields
from mailboxes import access
from mailboxes.models import Queue, SystemUser
from tracking.conditions import fault_of
from tracking.models import ConvertRule
from tracking.models.rules import RuleState


def activate(*, rule: ConvertRule, now: datetime, actor: SystemUser | None = None) -> None:
    """Raises ValidationError with everything that is in the way, PermissionDenied."""
    _check_right(rule, actor)
    _check_queue(rule, actor)
    with transaction.atomic():
        rule = (
            ConvertRule.objects.select_for_update(of=("self",))
            .select_related("queue", "owning_user", "response_template")
            .get(pk=rule.pk)
        )
        if faults := faults_of(rule):
            raise ValidationError(faults)
        try:
            with transaction.atomic():
                _set(rule, RuleState.ACTIVE, now, actor)
        except IntegrityError as error:
            raise ValidationError(
                _(
                    "The queue %(queue)s has an active rule already. Deactivate that one first. (R3.58)"
                )
                % {"queue": rule.queue}
            ) from error


def deactivate(*, rule: ConvertRule, now: datetime, actor: SystemUser | None = None) -> None:
    """A draft can be changed again; nothing is made by it any more."""
    _check_right(rule, actor)
    _set(rule, RuleState.DRAFT, now, actor)


def _set(rule: ConvertRule, state: RuleState, now: datetime, actor: SystemUser | None) -> None:
    ConvertRule.objects.filter(pk=rule.pk).update(
        state_code=state, modified_on=now, modified_by=actor
    )


def _check_right(rule: ConvertRule, actor: SystemUser | None) -> None:
    if actor is not None and not access.may(actor, "change", rule):
        raise access.refusal(ConvertRule, "change")


def _check_queue(rule: ConvertRule, actor: SystemUser | None) -> None:
    """What becomes of a queue's mail is for those who may change the queue."""
    if actor is not None and not access.may(actor, "change", rule.queue):
        raise access.refusal(Queue, "change")


def faults_of(rule: ConvertRule) -> list[str]:
    """Why the rule can't act."""
    faults = []
    if not rule.queue.email_address:
        faults.append(
            _(
                "The queue %(queue)s has no address, so no mail comes to it. Enter one first. (R3.58)"
            )
            % {"queue": rule.queue}
        )
    items = list(rule.items.all())
    if not items:
        faults.append(
            _("The rule has no items. One without conditions takes every message. (R3.58)")
        )
    for item in items:
        for condition in item.conditions:
            if fault := fault_of(condition.get("test", ""), condition.get("value", "")):
                faults.append(f"{item}: {fault}")
    return faults + _faults_of_owner(rule) + _faults_of_answer(rule)


def _faults_of_owner(rule: ConvertRule) -> list[str]:
    """It acts with the rights of its owner, so they are looked at before the first message comes."""
    wanted = [Incident, Contact] if rule.allow_unknown_sender else [Incident]
    missing = [
        f"{model._meta.app_label}.{access.codename_of(model, 'add')}"
        for model in wanted
        if access.reach_of(rule.owning_user, model, "add") is None
    ]
    if not missing:
        return []
    return [
        _(
            "%(owner)s, who owns the rule, lacks the permission %(permission)s. Add it to one of their "
            "groups, or choose another owner. (R3.58)"
        )
        % {"owner": rule.owning_user, "permission": ", ".join(missing)}
    ]


def _faults_of_answer(rule: ConvertRule) -> list[str]:
    template = rule.response_template
    if not rule.send_automatic_response or template is None:
        return []
    text = f"{template.subject} {template.body}"
    if unknown := unknown_fields(text, fields_for(TemplateFor.CASE.value)):
        return [
            _("The template %(template)s names what nobody knows: %(names)s. (R3.59)")
            % {"template": template, "names": ", ".join(unknown)}
        ]
    if not template.body.strip():
        return [_("The template %(template)s is empty. (R3.59)") % {"template": template}]
    return []
