"""From decisions about records made of mail to their rows, and to the answers that leave (R3.57-R3.59).

`creation_of` and `answer_of` belong to the plan and touch nothing. `number_answers` and `write` belong to
the page's transaction: the one before the e-mails are written, the other after, for those that won.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.contenttypes.models import ContentType

from activities.cases import ticket_number
from activities.choices import CaseOrigin, Direction, EmailStatus, ParticipationType
from activities.identity import message_key
from activities.mime.message import Address, ParsedMessage
from activities.mime.reply import message_id_for, reply_references
from activities.models import Incident
from activities.store import NewEmail, NewParty
from activities.wording import word
from mailboxes.choices import AutoCreate
from mailboxes.models import Mailbox, Organization, uuid7
from mailboxes.search import add_to_index
from tracking.acceptance import Party
from tracking.brakes import most_of, pace_of, take
from tracking.choices import PartyKind
from tracking.correlate import StoredEmail
from tracking.creation import (
    NOTHING,
    Case,
    Company,
    Creation,
    Facts,
    NewAnswer,
    NewCase,
    NewPerson,
    decide,
)
from tracking.matching import MatchRules, hash_rows
from tracking.numbers import new_tokens
from tracking.ownership import OwnerChoice
from tracking.prospects import COLUMNS, PEOPLE, Prospects, answered, is_case
from tracking.resolution import CONTACT, QUEUE, Resolution
from tracking.tokens import with_token

# -- plan ----------------------------------------------------------------------------------------


def creation_of(
    message: ParsedMessage,
    prospects: Prospects,
    organization: Organization,
    now: datetime,
    *,
    sender: Resolution,
    owner: OwnerChoice,
    direction: Direction,
    taker: Party | None,
    queues: Iterable[str],
    answered: StoredEmail | None,
    filed_by_folder: bool,
    arrived: datetime,
    quiet: bool = False,
    case_id: UUID | None = None,
) -> Creation:
    """What one accepted message makes. `taker`: who accepted it, else whose mailbox is read; `queues`:
    where it is to wait; `answered`: the email that it answers. `case_id`: of the case that it made when
    it was decided before."""
    rules = tuple(prospects.rules[queue] for queue in queues if queue in prospects.rules)
    wants = taker.creates if taker else AutoCreate.NONE
    if not rules and (wants == AutoCreate.NONE or sender.match is not None):
        return NOTHING

    def new_case() -> tuple[UUID, str]:
        key = case_id or uuid7()
        return key, ticket_number(key, now)

    match = sender.match
    return decide(
        Facts(
            message=message,
            now=now,
            arrived=arrived,
            sender=sender,
            owner=owner.owner,
            incoming=direction == Direction.INCOMING,
            allowed=organization.auto_create_contact_on_promote,
            wants=wants,
            wanter=taker.owner.name if taker else "",
            taker=":".join(taker.key) if taker else "",
            quiet=quiet,
            by_queue=taker is not None and taker.kind == PartyKind.QUEUE,
            rules=rules,
            related=_related(answered, prospects),
            filed_by_folder=filed_by_folder,
            own_domains=prospects.own_domains,
            company=(
                Company(match.company_id, match.company_name)
                if match is not None and match.company_id is not None
                else None
            ),
            free_key=prospects.free_key,
            new_case=new_case,
            answered_address=prospects.answered[_key(sender.address)],
            answered_queue={
                rule.sends: prospects.answered[rule.sends] for rule in rules if rule.sends
            },
            most_per_address=organization.auto_responses_per_address,
            most_per_queue=organization.auto_responses_per_queue,
            answers_within=timedelta(days=organization.auto_responses_within_days),
            pace=lambda maker: pace_of(prospects.made, maker, now),
            most=most_of(organization),
        )
    )


def _key(address: str) -> str:
    return Address(address).key


def _related(answered: StoredEmail | None, prospects: Prospects) -> tuple[Case, ...]:
    if answered is None or not is_case(answered.regarding_type_id):
        return ()
    case = prospects.cases.get(answered.regarding_id)
    return (case,) if case is not None else ()


def answer_of(
    answer: NewAnswer,
    message: ParsedMessage,
    organization: Organization,
    now: datetime,
    *,
    email_id: UUID,
    conversation: UUID,
    rules: MatchRules,
) -> NewEmail:
    """The answer to the message that becomes the email `email_id`, ready to be sent. Its token comes
    with `number_answers`."""
    rule, answer_id = answer.rule, uuid7()
    worded = word(rule.subject, rule.body, values_of(answer, organization))
    subject = worded.subject or answer.case.title
    message_id = message_id_for(answer_id.hex, rule.queue_address.rpartition("@")[2])
    to = _key(answer.address)  # in one form, so that it is counted whatever the next message writes
    fields: dict[str, Any] = {
        "direction_code": Direction.OUTGOING,
        "status_code": EmailStatus.PENDING_SEND,
        "description": worded.html,
        "mime_type": "text/html",
        "sender": rule.queue_address[:250],
        "to_recipients": to[:500],
        "message_id": message_id,
        "message_id_dup_check": message_key(message_id, "", "", "", 0),
        "in_reply_to": message.message_id[:320],
        "references": [
            reference[:320]
            for reference in reply_references(message.message_id, message.references)
            if reference
        ],
        "sender_mailbox_id": rule.sends,
        "submitted_by_id": rule.owner.user_id,
        "submitted_at": now,
        "parent_activity_id": email_id,
        "conversation_tracking_id": conversation,
        "is_workflow_created": True,
    }
    return NewEmail(
        id=answer_id,
        subject=subject[:800],
        owning_user_id=rule.owner.user_id,
        owning_team_id=None,
        sort_date=now,
        fields=fields,
        regarding_type_id=_type_id(Incident._meta.label_lower),
        regarding_id=str(answer.case.id),
        parties=(
            NewParty(
                role=ParticipationType.SENDER,
                position=0,
                address=rule.queue_address,
                name=rule.queue_name,
                type_id=_type_id(QUEUE),
                record_id=str(rule.queue_id),
            ),
            NewParty(
                role=ParticipationType.TO,
                position=0,
                address=to,
                name=answer.to.name,
                type_id=_type_id(answer.to.kind),
                record_id=answer.to.id,
                column=answer.to.column,
            ),
        ),
        hashes=hash_rows(subject, (_key(rule.queue_address), to), rules),
        follows=email_id,
    )


def values_of(answer: NewAnswer, organization: Organization) -> dict[str, str]:
    """What the fields of the template stand for (activities.wording)."""
    case, name = answer.case, answer.name
    return {
        "recipient.name": answer.to.name,
        "recipient.first_name": name.first,
        "recipient.last_name": name.last,
        "recipient.address": answer.address,
        "sender.name": answer.rule.queue_name,
        "sender.address": answer.rule.queue_address,
        "regarding.name": f"{case.title} ({case.number})",
        "organization.name": organization.name,
        "case.title": case.title,
        "case.number": case.number,
        "case.customer": case.customer_name,
    }


def _type_id(kind: str) -> int:
    return ContentType.objects.get_for_model(apps.get_model(kind)).pk


# -- write ---------------------------------------------------------------------------------------


def number_answers(answers: Sequence[NewEmail], organization: Organization) -> None:
    """Put tracking tokens into their subjects (R4.9), and cut them to what servers take (R4.11)."""
    wanted = Counter(row.fields["submitted_by_id"] for row in answers)
    tokens: dict[UUID, list[str]] = defaultdict(list)
    if organization.use_tracking_tokens:
        # In one order, for each user's row stays locked.
        for user_id in sorted(wanted):
            tokens[user_id] = new_tokens(user_id, organization, wanted[user_id])
    for row in answers:
        own = tokens[row.fields["submitted_by_id"]]
        token = own.pop(0) if own else ""
        row.subject = with_token(
            row.subject, token, organization.maximum_subject_length_on_mail_server
        )
        row.fields["tracking_token"] = token


def are_within_limits(
    answers: Sequence[NewEmail], organization: Organization, now: datetime
) -> bool:
    """Whether these answers, now that they are written, and those of other workers together stay within
    the limits (R3.59). The queues' mailboxes stay locked, so that whoever answers through one of them counts
    what the others have committed. One address that writes to two queues may still get a few more."""
    queues = {row.fields["sender_mailbox_id"] for row in answers}
    addresses = {row.fields["to_recipients"] for row in answers}
    locked = Mailbox.objects.filter(pk__in=queues).select_for_update(no_key=True)
    list(locked.order_by("pk").values_list("pk"))
    left = answered(addresses, queues, now)
    return all(left[key] <= organization.auto_responses_per_address for key in addresses) and all(
        left[key] <= organization.auto_responses_per_queue for key in queues
    )


def write(made: Sequence[tuple[UUID, Creation]], organization: Organization, now: datetime) -> bool:
    """(email, what it makes) of emails that stand now. False: a key that was free when the page was
    planned belongs to somebody with another address meanwhile, or others have made so much that a brake
    holds by now; roll back, and plan again."""
    if not take((one for _id, one in made), organization, now):
        return False
    people = {one.person.id: one.person for _id, one in made if one.person is not None}
    if not _write_people(list(people.values()), now):
        return False
    Incident.objects.bulk_create(
        [_case_row(one.case, email_id, now) for email_id, one in made if one.case is not None]
    )
    return True


def _write_people(people: Sequence[NewPerson], now: datetime) -> bool:
    """Whoever of two writers is second finds the first one's row under the same key, and leaves it."""
    for kind, model in PEOPLE.items():
        some = sorted((one for one in people if one.kind == kind), key=lambda one: one.id)
        if not some:
            continue
        model.objects.bulk_create(
            [model(**_columns(one, now)) for one in some], ignore_conflicts=True
        )
        rows = model.objects.filter(pk__in=[one.id for one in some]).values_list(*COLUMNS)
        stand = {key: {_key(one) for one in addresses if one} for key, *addresses in rows}
        if any(_key(one.address) not in stand.get(one.id, ()) for one in some):
            return False
    add_to_index((PEOPLE[one.kind], one.id, one.address) for one in people)
    return True


def _columns(person: NewPerson, now: datetime) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "id": person.id,
        "first_name": person.name.first,
        "middle_name": person.name.middle,
        "last_name": person.name.last,
        "salutation": person.name.salutation,
        "email_address1": person.address,
        "owning_user_id": person.owner.user_id,
        "owning_team_id": person.owner.team_id,
        "is_auto_create": True,
        "created_on": now,
    }
    return columns if person.kind == CONTACT else columns | {"subject": person.topic}


def _case_row(case: NewCase, email_id: UUID, now: datetime) -> Incident:
    return Incident(
        id=case.id,
        ticket_number=case.number,
        title=case.title,
        customer_account_id=case.account_id,
        customer_contact_id=case.contact_id,
        primary_contact_id=case.primary_contact_id,
        email_address=case.address,
        case_origin_code=CaseOrigin.EMAIL,
        case_type_code=case.kind,
        priority_code=case.priority,
        owning_user_id=case.rule.owner.user_id,
        created_from_id=email_id,
        created_on=now,
    )
