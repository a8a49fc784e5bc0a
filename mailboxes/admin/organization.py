"""The organization's one row."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes.models import (
    Organization,
)
from mailboxes.remembering import Remembered


class OrganizationScreen(Remembered):
    """One row: the list opens it directly."""

    fieldsets = [
        (
            _("Organization"),
            {
                "description": _("Whose site this is, and how closely it follows the original."),
                "fields": ["name", "strict_parity"],
            },
        ),
        (
            _("New mailboxes"),
            {
                "description": _(
                    "What a mailbox that is made with its user or queue starts with (R1.30)."
                ),
                "fields": [
                    "default_email_server_profile",
                    "default_incoming_email_delivery_method",
                    "default_outgoing_email_delivery_method",
                    "default_act_delivery_method",
                ],
            },
        ),
        (
            _("Approval"),
            {
                "description": _("Whose mail waits until somebody has approved the address."),
                "fields": ["require_approval_for_user_email", "require_approval_for_queue_email"],
            },
        ),
        (
            _("Which incoming mail is tracked"),
            {
                "description": _("Beside the filters of users and queues."),
                "fields": [
                    "do_not_auto_track_email",
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
                    "auto_track_sent_folder_items",
                    "track_categorized_items",
                    "is_folder_based_tracking_enabled",
                    "max_folder_based_tracking_mappings",
                    "allow_folder_tracking_for_queues",
                    "allow_folder_tracking_for_imap",
                    "allow_category_tracking_for_imap",
                    "keep_manual_regarding",
                ],
            },
        ),
        (
            _("Addresses"),
            {
                "description": _("Which record an address stands for."),
                "fields": [
                    "ignore_inactive_records_in_resolution",
                    "unresolve_email_address_if_multiple_match",
                    "resolve_similar_unresolved_email_address",
                    "unresolve_sender_in_case_of_multiple_match",
                    "auto_create_contact_on_promote",
                    "auto_creates_per_hour",
                    "auto_creates_per_day",
                ],
            },
        ),
        (
            _("Correlation"),
            {
                "description": _("How an answer finds the email that it answers."),
                "fields": [
                    "email_correlation_enabled",
                    "ignore_conversation_index_and_in_reply_to_for_correlation",
                    "use_tracking_tokens",
                    "tracking_prefix",
                    "former_tracking_prefixes",
                    "tracking_token_id_base",
                    "tracking_token_id_digits",
                    "tracking_counter_digits",
                    "check_token_participants",
                    "enable_smart_matching",
                    "hash_filter_keywords",
                    "hash_max_count",
                    "hash_delta_subject_count",
                    "hash_min_address_count",
                    "smart_matching_days",
                ],
            },
        ),
        (
            _("What is stored"),
            {
                "description": _("Attachments, queue items and original messages."),
                "fields": [
                    "max_upload_file_size_kb",
                    "blocked_attachments",
                    "create_queue_items_for_accepting_queue_recipients",
                    "create_queue_item_for_synchronizing_mailbox",
                    "sss_create_additional_queue_items_for_already_tracked_email",
                    "route_email_to_default_queue",
                    "keep_mime_days",
                ],
            },
        ),
        (
            _("Sending"),
            {
                "description": _("What may leave, and how often it is tried."),
                "fields": [
                    "allow_unresolved_parties_on_email_send",
                    "maximum_subject_length_on_mail_server",
                    "sss_save_outgoing_email_to_exchange_sent_folder",
                    "enable_mailbox_delegation_for_outgoing_email",
                    "undo_send_seconds",
                    "maximum_email_delivery_attempts",
                    "auto_responses_per_address",
                    "auto_responses_per_queue",
                    "auto_responses_within_days",
                ],
            },
        ),
        (
            _("Appointments, contacts and tasks"),
            {
                "description": _("What is kept equal with Exchange, and how."),
                "fields": [
                    "perform_act_sync_after",
                    "is_contact_mailing_address_sync_enabled",
                    "is_appointment_attachment_sync_enabled",
                    "allow_save_as_draft_appointment",
                    "track_appointments_from_non_organizer",
                    "use_crm_organizer_for_empty_exchange_organizer",
                    "block_scheduling_conflicts",
                    "sss_update_past_meetings_in_non_draft_mode",
                    "sss_propagate_appointment_cancellations_to_exchange",
                    "distinct_physical_and_logical_deletes_for_exchange_sync",
                    "sss_task_deletion_sync_behavior_from_exchange",
                    "ignore_copied_items_in_sss_for_mailbox",
                    "use_x_anchor_mailbox_in_exchange_request_header",
                ],
            },
        ),
        (
            _("What the synchronization may do without being asked"),
            {
                "description": _(
                    "Beyond these limits of one cycle nothing is deleted, called off, mailed or made; it waits "
                    "until somebody has looked at it and approved it (R6.46, R6.51)."
                ),
                "fields": [
                    ("max_act_deletes", "max_act_deletes_percent", "free_act_deletes"),
                    "max_act_invitations",
                    "max_act_first_creations",
                ],
            },
        ),
        (
            _("Alerts"),
            {
                "description": _("What is written on the wall, and for how long it stays."),
                "fields": [
                    "generate_alerts_for_errors",
                    "generate_alerts_for_warnings",
                    "generate_alerts_for_information",
                    "notify_mailbox_owner_of_email_server_level_alerts",
                    "alert_mailbox",
                    "trace_log_maximum_age_in_days",
                    "enable_sss_item_level_monitoring",
                    "exchange_sync_id_mapping_persistence_time_in_days",
                    "fold_items_after_days",
                ],
            },
        ),
        (
            _("Sign-in"),
            {
                "description": _("How people sign in here, and how long it is remembered."),
                "fields": ["second_factor", "keep_audit_days"],
            },
        ),
        (
            _("Lines without TLS"),
            {
                "description": _(
                    "All off by default: with these on, passwords and mail can be read on the way "
                    "(R1.26)."
                ),
                "fields": [
                    "allow_non_ssl_email",
                    "allow_basic_authentication_on_non_secure_channel",
                    "allow_credentials_entry_via_non_secure_channels",
                ],
            },
        ),
        (
            _("Engine"),
            {
                "description": _("How often mailboxes are looked at, and how failures are met."),
                "classes": ["collapse"],
                "fields": [
                    ("active_mailbox_minimum_backoff", "active_mailbox_maximum_backoff"),
                    ("idle_mailbox_minimum_backoff", "idle_mailbox_maximum_backoff"),
                    (
                        "active_mailbox_minimum_backoff_for_act",
                        "active_mailbox_maximum_backoff_for_act",
                    ),
                    (
                        "idle_mailbox_minimum_backoff_for_act",
                        "idle_mailbox_maximum_backoff_for_act",
                    ),
                    "mailbox_backoff_on_transient_error",
                    "mailbox_backoff_on_timeout",
                    "max_mailbox_transient_failures",
                    "mailbox_backoff_on_transient_error_for_act",
                    "mailbox_backoff_on_timeout_for_act",
                    "maximum_mailbox_transient_failures_for_act",
                    "max_mailboxes_per_profile_at_once",
                    "imap_connections_per_account",
                    "messages_per_page",
                    "messages_per_cycle",
                    "act_items_per_cycle",
                    "maximum_synchronization_attempts_for_act",
                    "promotion_attempts",
                    "promotion_retry_minutes",
                ],
            },
        ),
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in Organization.NOT_BUILT:
            field.help_text = format_html(
                '{} <strong class="not-built">{}</strong>',
                field.help_text,
                __("Changes nothing yet: what reads it is still to be built."),
            )
        return field

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        row = Organization.objects.current()
        return HttpResponseRedirect(reverse("admin:mailboxes_organization_change", args=[row.pk]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
