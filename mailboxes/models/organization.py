"""Organization: one row with every setting that an administrator changes at run time."""

from typing import Any, ClassVar

import regex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    ActDeliveryMethod,
    ConnectionChannel,
    FilteringMethod,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    SecondFactor,
)
from mailboxes.models.base import Record, Stamped
from mailboxes.models.profiles import EmailServerProfile

#: Executables and scripts (R3.52).
BLOCKED_ATTACHMENTS = (
    "ade;adp;app;asa;ashx;asmx;asp;bas;bat;cdx;cer;chm;class;cmd;com;config;cpl;crt;csh;dll;exe;fxp;"
    "hlp;hta;htr;htw;ida;idc;idq;inf;ins;isp;its;jar;js;jse;ksh;lnk;mad;maf;mag;mam;maq;mar;mas;mat;"
    "mau;mav;maw;mda;mdb;mde;mdt;mdw;mdz;msc;msh;msh1;msh1xml;msh2;msh2xml;mshxml;msi;msp;mst;ops;"
    "pcd;pif;prf;prg;printer;pst;reg;rem;scf;scr;sct;shb;shs;shtm;shtml;soap;stm;svg;tmp;url;vb;vbe;"
    "vbs;vsmacros;vss;vst;vsw;ws;wsc;wsf;wsh;svc"
)

NOISE = r"^[\s]*([\w]+\s?:[\s]*)+"  # R4.15: any run of leading words that end in a colon


def _seconds(label: Any, default: int, help_text: Any) -> "models.PositiveIntegerField[int, int]":
    return models.PositiveIntegerField(
        label, default=default, validators=[MinValueValidator(1)], help_text=help_text
    )


def check_noise(pattern: str) -> None:
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValidationError(
            _("This is no regular expression: %(why)s. (R4.15)") % {"why": error}
        ) from error


def check_prefixes(prefixes: Any) -> None:
    if not isinstance(prefixes, list) or not all(
        isinstance(prefix, str) and 0 < len(prefix) <= 20 for prefix in prefixes
    ):
        raise ValidationError(
            _('Give a list of texts of at most 20 characters, such as ["CRM:", "Ticket "]. (R4.12)')
        )


class OrganizationManager(models.Manager["Organization"]):
    def current(self) -> "Organization":
        """The one row, made with the documented defaults when it is first asked for."""
        return (
            self.select_related("default_email_server_profile").first()
            or (self.get_or_create(singleton=True)[0])
        )


class Organization(Record, Stamped):
    """organization. Defaults are those of docs/behaviour, appendix A and R9.2."""

    singleton = models.BooleanField(default=True, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=160, default="Organization")
    email_connection_channel = models.IntegerField(
        choices=ConnectionChannel.choices,
        default=ConnectionChannel.SERVER_SIDE_SYNC,
        editable=False,
    )
    strict_parity = models.BooleanField(
        _("strict parity"),
        default=False,
        help_text=_("Behave as the original does wherever this product chose better (appendix C)."),
    )

    # Defaults of new mailboxes
    default_email_server_profile = models.ForeignKey(
        EmailServerProfile,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default server profile"),
        help_text=_("New mailboxes of users and queues are tied to it at once (R1.30)."),
    )
    default_incoming_email_delivery_method = models.IntegerField(
        _("default incoming email"),
        choices=IncomingDeliveryMethod.choices,
        default=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        help_text=_("For new mailboxes; existing ones stay as they are (R1.30)."),
    )
    default_outgoing_email_delivery_method = models.IntegerField(
        _("default outgoing email"),
        choices=OutgoingDeliveryMethod.choices,
        default=OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
        help_text=_("For new mailboxes; existing ones stay as they are (R1.30)."),
    )
    default_act_delivery_method = models.IntegerField(
        _("default appointments, contacts and tasks"),
        choices=ActDeliveryMethod.choices,
        default=ActDeliveryMethod.SERVER_SIDE_SYNC,
        help_text=_("For new user mailboxes whose profile is Exchange; None elsewhere (R1.34)."),
    )

    # Approval
    require_approval_for_user_email = models.BooleanField(
        _("process emails only for approved users"),
        default=True,
        help_text=_(
            "Mail of a user waits until somebody approved the address. Off: approval is ignored "
            "(R2.3)."
        ),
    )
    require_approval_for_queue_email = models.BooleanField(
        _("process emails only for approved queues"),
        default=True,
        help_text=_(
            "Mail of a queue waits until somebody approved the address. Off: approval is ignored "
            "(R2.3)."
        ),
    )

    # Which incoming mail
    do_not_auto_track_email = models.BooleanField(
        _("offer “no email messages” as a filter"),
        default=True,
        help_text=_("Off: nobody can choose that filter; whoever has it keeps it (R3.17)."),
    )
    use_filtering_method_of_syncing_mailbox_only_for_correlation = models.BooleanField(
        _("only the mailbox being read decides"),
        default=False,
        help_text=_("Off: every recipient who is a user or queue may accept a message (R3.22)."),
    )
    sss_force_filtering_method_for_user_mailboxes = models.BooleanField(
        _("force the filter of user mailboxes"),
        default=False,
        help_text=_(
            "Does the same as “only the mailbox being read decides”: either is enough (R3.22)."
        ),
    )
    sender_filters_accept_replies = models.BooleanField(
        _("sender filters accept replies, too"),
        default=False,
        help_text=_("Ours: a reply to tracked mail from an unknown sender is accepted (R3.25)."),
    )
    do_not_auto_track_auto_submitted = models.BooleanField(
        _("do not track automatic replies"),
        default=False,
        help_text=_("Ours: what Auto-Submitted marks as written by a machine is rejected (R3.13)."),
    )
    use_envelope_evidence = models.BooleanField(
        _("believe the envelope of the mailbox being read"),
        default=False,
        help_text=_(
            "Ours: list mail and Bcc are judged by the filter of whom Delivered-To or X-Original-To"
            " names, if it is that mailbox (R10.9)."
        ),
    )
    own_email_needs_permission = models.BooleanField(
        _("owning email needs a permission"),
        default=False,
        help_text=_(
            "Off: whoever is licensed may own email. On: only with the permission to add email, by a"
            " group or directly (R3.29)."
        ),
    )
    use_date_watermark = models.BooleanField(
        _("only mail received after the last processed one"),
        default=False,
        help_text=_(
            "Ours: the original's way. Mail that arrives in the inbox late is never seen (R3.9)."
        ),
    )
    ignore_internal_email = models.BooleanField(
        _("track mail between users once only"),
        default=False,
        help_text=_(
            "Off: what a user sent and what another one received are two emails. On: the sent one"
            " is enough (R3.40)."
        ),
    )
    do_not_ignore_internal_email_to_queues = models.BooleanField(
        _("but always mail from a user to a queue"),
        default=True,
        help_text=_(
            "While mail between users is tracked once only: a queue still accepts what a user "
            "writes to it (R3.42)."
        ),
    )
    ignore_internal_email_from_queues = models.BooleanField(
        _("also once only from a queue to a user"),
        default=False,
        help_text=_(
            "While mail between users is tracked once only: what a queue writes to a user makes "
            "no second email (R3.43)."
        ),
    )
    ignore_internal_email_detection_enhancement = models.BooleanField(
        _("drop a colleague's mail only if its sent copy is stored"),
        default=True,
        help_text=_(
            "While mail between users is tracked once only: what a colleague sent and nobody "
            "tracked is judged by the filter of whom it reaches (R3.44)."
        ),
    )
    restrict_irm_email_items = models.BooleanField(
        _("leave rights-protected mail alone"),
        default=False,
        help_text=_("Off: they are stored as they are. On: they are skipped (R3.11)."),
    )
    auto_track_sent_folder_items = models.BooleanField(
        _("track sent items"),
        default=False,
        help_text=_(
            "What people send from their mail programs is judged by their filter, too, and stored"
            " as sent (R3.60)."
        ),
    )
    track_categorized_items = models.BooleanField(
        _("track by category"),
        default=False,
        help_text=_("Off until chosen (R10.18); on under strict parity (R7.20)."),
    )
    is_folder_based_tracking_enabled = models.BooleanField(
        _("track by folder"),
        default=True,
        help_text=_(
            "What a user moves into a folder with a rule is tracked, and filed under the record "
            "of the rule (R7.1)."
        ),
    )
    max_folder_based_tracking_mappings = models.PositiveIntegerField(
        _("folder rules per mailbox"), default=25, help_text=_("More are refused (R7.3).")
    )
    allow_folder_tracking_for_queues = models.BooleanField(
        _("track folders of queues, too"),
        default=False,
        help_text=_("Ours: the original tracks folders of users only (R7.1, R10.15)."),
    )
    allow_folder_tracking_for_imap = models.BooleanField(
        _("track folders on IMAP servers, too"),
        default=False,
        help_text=_("Ours: the original tracks folders of Exchange only (R7.30)."),
    )
    allow_category_tracking_for_imap = models.BooleanField(
        _("track by keyword on IMAP servers, too"),
        default=False,
        help_text=_(
            "Ours: with “track by category”, the keyword $Tracked does what the category does (R7.30)."
        ),
    )
    keep_manual_regarding = models.BooleanField(
        _("keep manual regarding"),
        default=False,
        help_text=_(
            "Ours: a folder rule leaves an email alone that somebody filed by hand (R7.10, R10.14)."
        ),
    )

    # Addresses
    ignore_inactive_records_in_resolution = models.BooleanField(
        _("ignore inactive records"),
        default=False,
        help_text=_(
            "An address that only inactive records have stands for nobody. Disabled users never "
            "count (R3.39)."
        ),
    )
    unresolve_email_address_if_multiple_match = models.BooleanField(
        _("leave recipients with several matches unresolved"),
        default=False,
        help_text=_(
            "Off: the recipient becomes a party for every record with the address (R3.36)."
        ),
    )
    resolve_similar_unresolved_email_address = models.BooleanField(
        _("resolving one address by hand resolves all equal ones"),
        default=True,
        help_text=_("In all emails that the person may change (R3.39a)."),
    )
    unresolve_sender_in_case_of_multiple_match = models.BooleanField(
        _("leave senders with several matches unresolved"),
        default=False,
        help_text=_(
            "Such a sender counts as unknown. Off: the record that goes before the others is the "
            "sender (R3.35)."
        ),
    )
    auto_create_contact_on_promote = models.BooleanField(
        _("users may create contacts automatically"),
        default=True,
        help_text=_(
            "Of unknown senders, if the user's own option says so, too. Off: none are made, "
            "whatever users chose (R3.57)."
        ),
    )

    # Correlation
    email_correlation_enabled = models.BooleanField(
        _("use correlation"), default=True, help_text=_("In-reply-to, conversation index (R4.3).")
    )
    ignore_conversation_index_and_in_reply_to_for_correlation = models.BooleanField(
        _("ignore in-reply-to and conversation index"),
        default=False,
        help_text=_("Answers are found by tokens and smart matching alone (R4.3)."),
    )
    use_tracking_tokens = models.BooleanField(
        _("use tracking tokens"),
        default=True,
        help_text=_("Subjects of outgoing mail get a token, and an answer is found by it (R4.3)."),
    )
    tracking_prefix = models.CharField(
        _("token prefix"),
        max_length=20,
        default="CRM:",
        help_text=_("What a token begins with, such as CRM: in CRM:0001001 (R4.6)."),
    )
    former_tracking_prefixes = models.JSONField(
        _("former prefixes"),
        default=list,
        blank=True,
        validators=[check_prefixes],
        help_text=_("Still recognised. A prefix that is changed is added by itself (R4.12)."),
    )
    check_token_participants = models.BooleanField(
        _("believe tokens of participants only"),
        default=True,
        help_text=_("Ours: anyone can edit a subject (R4.13)."),
    )
    tracking_token_id_base = models.PositiveIntegerField(
        _("base tracking number"),
        default=0,
        help_text=_("Users are numbered from here on: with 500 the first one has 501 (R4.7)."),
    )
    tracking_token_id_digits = models.PositiveIntegerField(
        _("digits for user number"),
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(10)],
        help_text=_("Of a token. A number that outgrows them is written in full (R4.6)."),
    )
    tracking_counter_digits = models.PositiveIntegerField(
        _("digits for message counter"),
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(9)],
        help_text=_("Of a token. After the largest number the counter begins anew (R4.6)."),
    )
    enable_smart_matching = models.BooleanField(
        _("use smart matching"),
        default=False,
        help_text=_(
            "Answers without headers and token are found by the words of their subject and their "
            "addresses; prone to false hits (R4.15)."
        ),
    )
    hash_filter_keywords = models.TextField(
        _("noise in subjects"),
        default=NOISE,
        blank=True,
        validators=[check_noise],
        help_text=_("A regular expression for what stands before the subject itself (R4.15)."),
    )
    hash_max_count = models.PositiveIntegerField(
        _("hashes per list"),
        default=20,
        validators=[MaxValueValidator(100)],
        help_text=_(
            "How many words of a subject, and how many addresses, are kept for smart matching "
            "(R4.15)."
        ),
    )
    hash_delta_subject_count = models.PositiveIntegerField(
        _("allowed difference of subject hashes"),
        default=0,
        help_text=_("So many words of the longer subject may have no counterpart (R4.16)."),
    )
    hash_min_address_count = models.PositiveIntegerField(
        _("matching addresses needed"),
        default=2,
        help_text=_("So many addresses must be common for smart matching (R4.16)."),
    )
    smart_matching_days = models.PositiveIntegerField(
        _("smart matching looks back (days)"),
        default=90,
        help_text=_("Older email is never matched that way (R4.17)."),
    )

    # What is stored
    max_upload_file_size_kb = models.PositiveIntegerField(
        _("maximum attachment size (KB)"),
        default=5_120,
        validators=[MinValueValidator(1), MaxValueValidator(131_072)],
        help_text=_("Larger attachments are left out and listed (R3.51)."),
    )
    blocked_attachments = models.TextField(
        _("blocked attachment extensions"),
        default=BLOCKED_ATTACHMENTS,
        blank=True,
        help_text=_("Separated by semicolons (R3.52)."),
    )
    create_queue_items_for_accepting_queue_recipients = models.BooleanField(
        _("queue items for recipient queues"),
        default=True,
        help_text=_("One in each active queue among the recipients (R3.53)."),
    )
    create_queue_item_for_synchronizing_mailbox = models.BooleanField(
        _("queue item for the queue being read"),
        default=True,
        help_text=_("Also where the queue is no recipient: list mail and Bcc (R3.54)."),
    )
    sss_create_additional_queue_items_for_already_tracked_email = models.BooleanField(
        _("queue items for duplicates, too"),
        default=False,
        help_text=_(
            "A queue that meets an email which is stored already, and has no item for it, gets "
            "one (R3.55)."
        ),
    )
    route_email_to_default_queue = models.BooleanField(
        _("queue item in the default queue of the owner"),
        default=False,
        help_text=_("Where the user or team that owns a received email has one (R3.53)."),
    )
    keep_mime_days = models.PositiveIntegerField(
        _("keep original messages (days)"),
        default=0,
        help_text=_("Ours: the raw message of a tracked email is erased after it. 0: never."),
    )

    # Sending
    allow_unresolved_parties_on_email_send = models.BooleanField(
        _("allow unresolved recipients"),
        default=False,
        help_text=_("Off: mail to an address that no record has is refused (R5.4)."),
    )
    maximum_subject_length_on_mail_server = models.PositiveIntegerField(
        _("maximum subject length"),
        default=255,
        validators=[MinValueValidator(1), MaxValueValidator(800)],
        help_text=_("Of outgoing mail, with its token (R4.11)."),
    )
    sss_save_outgoing_email_to_exchange_sent_folder = models.BooleanField(
        _("save a copy in sent items"),
        default=True,
        help_text=_(
            "Of what is sent from here: on Exchange, and on IMAP servers that file none "
            "themselves (R5.18)."
        ),
    )
    enable_mailbox_delegation_for_outgoing_email = models.BooleanField(
        _("send through the submitter's mailbox"),
        default=False,
        help_text=_("Exchange only, on behalf of the From party, by rights on the server (R5.26)."),
    )
    undo_send_seconds = models.PositiveIntegerField(
        _("time to undo sending (s)"),
        default=0,
        validators=[MaxValueValidator(3_600)],
        help_text=_("Ours: what a person sends leaves after it, and can be undone before (R5.2)."),
    )
    maximum_email_delivery_attempts = models.PositiveIntegerField(
        _("delivery attempts per email"),
        default=10,
        validators=[MinValueValidator(1)],
        help_text=_(
            "Then the email has failed. An attempt that never reached the server doesn't count "
            "(R5.11)."
        ),
    )
    auto_creates_per_hour = models.PositiveIntegerField(
        _("records of unknown senders in an hour"),
        default=100,
        help_text=_(
            "By one rule, or by the personal options of one user or queue; mail beyond it is tracked "
            "without a record. 0: none are made (R3.58)."
        ),
    )
    auto_creates_per_day = models.PositiveIntegerField(
        _("records of unknown senders in a day"),
        default=500,
        help_text=_("Likewise, in 24 hours (R3.58)."),
    )
    auto_responses_per_address = models.PositiveIntegerField(
        _("automatic answers per address"),
        default=5,
        help_text=_("In 24 hours, from all queues together; 0: none are sent (R3.59)."),
    )
    auto_responses_per_queue = models.PositiveIntegerField(
        _("automatic answers per queue"),
        default=100,
        help_text=_("In one hour; 0: none are sent (R3.59)."),
    )
    auto_responses_within_days = models.PositiveIntegerField(
        _("automatic answers within (days)"),
        default=3,
        validators=[MinValueValidator(1)],
        help_text=_(
            "Mail that arrived longer ago isn't answered automatically, and an answer that has waited "
            "longer isn't sent (R3.59)."
        ),
    )

    # Alerts
    generate_alerts_for_errors = models.BooleanField(
        _("alerts for errors"),
        default=True,
        help_text=_("Off: what stops mail is in the ledger and the cycles alone (R8.13)."),
    )
    generate_alerts_for_warnings = models.BooleanField(
        _("alerts for warnings"),
        default=False,
        help_text=_("Of what passes by itself (R8.13)."),
    )
    generate_alerts_for_information = models.BooleanField(
        _("alerts for information"),
        default=True,
        help_text=_("Of what is good to know and stops nothing (R8.13)."),
    )
    notify_mailbox_owner_of_email_server_level_alerts = models.BooleanField(
        _("mailbox owners see alerts of the server"),
        default=False,
        help_text=_(
            "Whom a mailbox serves sees what is wrong with its server. Whoever may look at the profile "
            "always does (R8.14)."
        ),
    )
    alert_mailbox = models.ForeignKey(
        "mailboxes.Mailbox",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("mailbox for alerts"),
        help_text=_(
            "Mail about a server that fails leaves through it, unless it is on that server. Empty: a "
            "mailbox of another server profile that works (R8.15)."
        ),
    )
    trace_log_maximum_age_in_days = models.PositiveIntegerField(
        _("keep alerts (days)"),
        default=90,
        help_text=_("Older ones are removed each night."),
    )
    enable_sss_item_level_monitoring = models.BooleanField(
        _("item monitor"),
        default=True,
        help_text=_("The page of what was not synchronized, and why (R8.30)."),
    )
    exchange_sync_id_mapping_persistence_time_in_days = models.PositiveIntegerField(
        _("keep details of rejected items (days)"),
        default=3,
        help_text=_("What is personal is blanked then; state and reason stay (R3.73)."),
    )
    fold_items_after_days = models.PositiveIntegerField(
        _("fold items after (days)"),
        default=90,
        help_text=_(
            "Items whose message left the server so long ago become daily totals; 0: never (R3.73)."
        ),
    )

    # Appointments, contacts and tasks
    perform_act_sync_after = models.DateTimeField(
        _("appointments, contacts and tasks: not before"),
        null=True,
        blank=True,
        help_text=_("Until then none are synchronized. Empty: no such moment."),
    )
    allow_save_as_draft_appointment = models.BooleanField(
        _("appointments can be drafts"),
        default=False,
        help_text=_("A draft isn't synchronized, and nobody invited, until it is sent (R6.24)."),
    )
    sss_update_past_meetings_in_non_draft_mode = models.BooleanField(
        _("update past meetings on the server"),
        default=False,
        help_text=_("May mail attendees about what is over (R6.23)."),
    )
    sss_propagate_appointment_cancellations_to_exchange = models.BooleanField(
        _("cancel meetings that are canceled here"),
        default=False,
        help_text=_("Attendees are told, after somebody approved it (R6.45)."),
    )
    track_appointments_from_non_organizer = models.BooleanField(
        _("attendees may track meetings of others"),
        default=True,
        help_text=_("Off: only the organizer's mailbox brings a meeting here (R6.29)."),
    )
    use_crm_organizer_for_empty_exchange_organizer = models.BooleanField(
        _("keep the organizer where the server names none"),
        default=False,
        help_text=_("Off: the record has no organizer then, either (R6.30)."),
    )
    distinct_physical_and_logical_deletes_for_exchange_sync = models.BooleanField(
        _("only unlink what leaves a filter"),
        default=True,
        help_text=_(
            "Off: what no filter matches any longer, or what its user may not read any longer, is "
            "deleted on the server like a deleted record, which may tell attendees (R6.46)."
        ),
    )
    sss_task_deletion_sync_behavior_from_exchange = models.BooleanField(
        _("delete tasks here that are deleted on the server"),
        default=True,
        help_text=_("Off: they are unlinked and stay (R6.45)."),
    )
    ignore_copied_items_in_sss_for_mailbox = models.BooleanField(
        _("ignore copies of linked items"),
        default=True,
        help_text=_("Off: a copy that somebody makes on the server is an item of its own (R6.48)."),
    )
    block_scheduling_conflicts = models.BooleanField(
        _("ask before storing a meeting at a busy time"),
        default=False,
        help_text=_("Off: it is stored, with a warning (R6.26)."),
    )
    is_appointment_attachment_sync_enabled = models.BooleanField(
        _("synchronize attachments of appointments"),
        default=False,
        help_text=_("Never those of series and of service activities (R6.34)."),
    )
    is_contact_mailing_address_sync_enabled = models.BooleanField(
        _("contacts have one mailing address"),
        default=True,
        help_text=_("Off: the business, the home and the other address are synchronized (R6.16)."),
    )
    use_x_anchor_mailbox_in_exchange_request_header = models.BooleanField(
        _("name the mailbox in Exchange requests"),
        default=True,
        help_text=_("The header X-AnchorMailbox, which leads to the right server (R6.62)."),
    )
    max_act_deletes = _seconds(
        _("deletes in one cycle"),
        10,
        _("Of one mailbox, on both sides together; more wait for approval (R6.46)."),
    )
    max_act_deletes_percent = _seconds(
        _("deletes in one cycle (%)"), 10, _("Of what is linked; more wait for approval (R6.46).")
    )
    free_act_deletes = models.PositiveIntegerField(
        _("deletes that never wait"),
        default=2,
        help_text=_("Ours: a percentage of few items would park each single delete (R6.46)."),
    )
    max_act_invitations = _seconds(
        _("people invited in one cycle"), 50, _("More wait for approval (R6.46).")
    )
    max_act_first_creations = _seconds(
        _("items made at the first synchronization"),
        10,
        _("More are shown first, and wait for approval (R6.51)."),
    )
    maximum_synchronization_attempts_for_act = _seconds(
        _("attempts at an item"), 5, _("A change on either side begins anew (R6.54).")
    )
    act_items_per_cycle = _seconds(
        _("appointments, contacts and tasks per cycle"),
        500,
        _("Ours: what is left is the next cycle's (R9.9)."),
    )

    # Access
    second_factor = models.IntegerField(
        _("second factor"),
        choices=SecondFactor.choices,
        default=SecondFactor.OPTIONAL,
        help_text=_("Ours: who must give a code of an authenticator app when signing in."),
    )
    keep_audit_days = models.PositiveIntegerField(
        _("keep the audit trail (days)"),
        default=365,
        help_text=_("Ours: sign-ins and changes before that are forgotten. 0: never."),
    )

    # Engine (R9.2)
    active_mailbox_minimum_backoff = _seconds(
        _("active mailbox: shortest gap (s)"),
        120,
        _(
            "Between cycles of a mailbox that has mail; halved down to it after each cycle with "
            "mail (R9.1)."
        ),
    )
    active_mailbox_maximum_backoff = _seconds(
        _("active mailbox: longest gap (s)"),
        300,
        _(
            "Grows by half up to it after each cycle without mail, while the mailbox counts as "
            "active (R9.1)."
        ),
    )
    idle_mailbox_minimum_backoff = _seconds(
        _("idle mailbox: shortest gap (s)"),
        300,
        _("Between cycles of a mailbox that has been quiet (R9.1)."),
    )
    idle_mailbox_maximum_backoff = _seconds(
        _("idle mailbox: longest gap (s)"),
        720,
        _("The longest that new mail of a quiet mailbox waits for its cycle (R9.1)."),
    )
    active_mailbox_minimum_backoff_for_act = _seconds(
        _("appointments and the like, active mailbox: shortest gap (s)"),
        300,
        _("As for mail (R9.1)."),
    )
    active_mailbox_maximum_backoff_for_act = _seconds(
        _("appointments and the like, active mailbox: longest gap (s)"),
        720,
        _("As for mail (R9.1)."),
    )
    idle_mailbox_minimum_backoff_for_act = _seconds(
        _("appointments and the like, idle mailbox: shortest gap (s)"),
        720,
        _("As for mail (R9.1)."),
    )
    idle_mailbox_maximum_backoff_for_act = _seconds(
        _("appointments and the like, idle mailbox: longest gap (s)"), 900, _("As for mail (R9.1).")
    )
    mailbox_backoff_on_transient_error_for_act = _seconds(
        _("appointments and the like: pause after a transient error (s)"),
        300,
        _("Doubled with each failure in a row, up to an hour (R9.5)."),
    )
    mailbox_backoff_on_timeout_for_act = _seconds(
        _("appointments and the like: pause after a time-out (s)"),
        300,
        _("Doubled with each failure in a row, up to an hour (R9.5)."),
    )
    maximum_mailbox_transient_failures_for_act = _seconds(
        _("appointments and the like: transient failures in a row"),
        10,
        _("Then the workload is paused (R8.3, R8.5)."),
    )
    mailbox_backoff_on_transient_error = _seconds(
        _("pause after a transient error (s)"), 300, _("Grows with each failure in a row (R9.5).")
    )
    mailbox_backoff_on_timeout = _seconds(
        _("pause after a time-out (s)"),
        300,
        _("Doubled with each failure in a row, up to an hour (R9.5)."),
    )
    max_mailbox_transient_failures = _seconds(
        _("transient failures in a row"), 10, _("Then the workload is paused (R8.3, R8.5).")
    )
    max_mailboxes_per_profile_at_once = _seconds(
        _("mailboxes of one profile at a time"),
        20,
        _("Ours: so that one slow server can't (R9.8)."),
    )
    imap_connections_per_account = _seconds(
        _("IMAP connections per account"),
        4,
        _("Ours: counted over all workers; an upper bound of what profiles say (R9.6)."),
    )
    messages_per_page = _seconds(
        _("messages per page"),
        50,
        _("Ours: stored in one transaction; fewer if they are large (R9.9)."),
    )
    messages_per_cycle = _seconds(
        _("messages per cycle"), 500, _("Ours: what is left is the next cycle's (R9.9).")
    )
    promotion_attempts = _seconds(
        _("attempts to store a failing message"), 5, _("Then it is quarantined (R3.72).")
    )
    promotion_retry_minutes = _seconds(
        _("minutes between these attempts"),
        15,
        _("At least; with the next cycle after it (R3.72)."),
    )
    allow_non_ssl_email = models.BooleanField(
        _("allow servers without TLS"),
        default=False,
        help_text=_("Off: a profile without TLS is refused, and its mailboxes don't run (R1.26)."),
    )
    allow_basic_authentication_on_non_secure_channel = models.BooleanField(
        _("allow passwords on lines without TLS"),
        default=False,
        help_text=_("Everybody on the way can read the password (R1.26)."),
    )
    allow_credentials_entry_via_non_secure_channels = models.BooleanField(
        _("allow typing credentials over plain HTTP"),
        default=False,
        help_text=_(
            "Off: they are typed over HTTPS, or on the machine that the console runs on (R1.26)."
        ),
    )

    objects: ClassVar[OrganizationManager] = OrganizationManager()

    #: What strict parity turns back, and to what (appendix C).
    PARITY: ClassVar[dict[str, Any]] = {
        "use_date_watermark": True,  # R3.9
        "own_email_needs_permission": True,  # R3.29
        "use_envelope_evidence": False,  # R10.9
        "track_categorized_items": True,  # R7.20, R10.18
        "allow_folder_tracking_for_queues": False,  # R7.1
        "allow_folder_tracking_for_imap": False,  # R7.30
        "allow_category_tracking_for_imap": False,  # R7.30
        "keep_manual_regarding": False,  # R7.10
        "pause_instead_of_disable": False,  # R8.5
        "warn_of_waiting_email": False,  # R5.7
        "references_correlate": False,  # R4.4
        "check_token_participants": False,  # R4.13
        "link_reports": False,  # R5.21
        "one_alert_per_outage": False,  # R8.5
        "block_scheduling_conflicts": True,  # R6.26
        "distinct_physical_and_logical_deletes_for_exchange_sync": False,  # R6.46
        "guard_act": False,  # R6.46
        "ask_before_transferring_meetings": False,  # R6.32
        "recreate_past_instances": True,  # R6.33
    }
    #: Behaviour without a column of its own: always on, but for strict parity.
    BETTER: ClassVar[dict[str, Any]] = {
        "pause_instead_of_disable": True,
        "warn_of_waiting_email": True,
        "references_correlate": True,
        "link_reports": True,
        "one_alert_per_outage": True,
        "guard_act": True,
        "ask_before_transferring_meetings": True,
        "recreate_past_instances": False,
    }

    #: Settings that can be set and change nothing yet; the page says so (appendix A).
    NOT_BUILT: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organization")
        constraints = [
            models.CheckConstraint(condition=Q(singleton=True), name="organization_is_one_row")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A prefix that mail bears stays known after it is changed (R4.12)."""
        before = Organization.objects.filter(pk=self.pk).values_list("tracking_prefix", flat=True)
        known = self.former_tracking_prefixes
        if isinstance(known, list):
            added = [p for p in before if p != self.tracking_prefix and p not in known]
            self.former_tracking_prefixes = known + added

    def effective(self, name: str) -> Any:
        """A setting as it acts: strict parity overrides what we chose better."""
        if self.strict_parity and name in self.PARITY:
            return self.PARITY[name]
        return self.BETTER[name] if name in self.BETTER else getattr(self, name)


def check_filter(method: int) -> None:
    """“No email messages” can be chosen only while the organization offers it (R3.17)."""
    if method != FilteringMethod.NONE or Organization.objects.current().do_not_auto_track_email:
        return
    raise ValidationError(
        {
            "incoming_email_filtering_method": _(
                "The organization does not offer “No email messages”. Choose another filter, or "
                "have the offer switched on in the settings. (R3.17)"
            )
        }
    )
