"""EmailServerProfile: how to reach a server, shared by many mailboxes."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    ExchangeVersion,
    ExecutionStatus,
    OAuthGrant,
    ServerAuthority,
    ServerType,
    TlsMode,
    ValidationStatus,
)
from mailboxes.fields import SecretField
from mailboxes.legality import profile_faults
from mailboxes.models.base import Owned, Record, Stamped, Stateful

AT_LEAST_ONE = [MinValueValidator(1)]
PORT = [MinValueValidator(1), MaxValueValidator(65_535)]  # R1.25


class EmailServerProfile(Record, Stamped, Owned, Stateful):
    """emailserverprofile (R1.1). Which combinations are legal: `profile_rules`."""

    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    server_type = models.IntegerField(
        _("server type"),
        choices=ServerType.choices,
        default=ServerType.IMAP_SMTP,
        help_text=_("Decides the protocol of both directions (R1.12)."),
    )
    use_auto_discover = models.BooleanField(
        _("auto discover server location"),
        default=False,
        help_text=_(
            "Exchange only: find the address by itself; the locations are ignored (R1.22)."
        ),
    )
    default_server_location = models.CharField(
        _("default server location"), max_length=2084, blank=True
    )
    exchange_version = models.IntegerField(
        _("Exchange version"),
        choices=ExchangeVersion.choices,
        null=True,
        blank=True,
        help_text=_("Kept for imports. The server itself says which version it is."),
    )

    # Incoming
    incoming_server_location = models.CharField(
        _("incoming server"),
        max_length=2084,
        blank=True,
        help_text=_("Host name; for Exchange also the address of its web service."),
    )
    incoming_port_number = models.IntegerField(
        _("incoming port"),
        null=True,
        blank=True,
        validators=PORT,
        help_text=_("Empty: 993 for IMAP, 995 for POP3 (R1.25)."),
    )
    incoming_uses_ssl = models.BooleanField(
        _("use TLS for incoming"),
        default=True,
        help_text=_("Off only where the organization allows lines without TLS (R1.26)."),
    )
    incoming_tls_mode = models.IntegerField(
        _("incoming TLS starts"),
        choices=TlsMode.choices,
        default=TlsMode.BY_PORT,
        help_text=_("By port: 993 and 995 begin with TLS, other ports upgrade by STARTTLS."),
    )
    incoming_authentication_protocol = models.IntegerField(
        _("incoming authentication protocol"),
        choices=AuthenticationProtocol.choices,
        default=AuthenticationProtocol.AUTO_DETECT,
    )
    incoming_credential_retrieval = models.IntegerField(
        _("authenticate incoming using"),
        choices=CredentialRetrieval.choices,
        default=CredentialRetrieval.USER_OR_QUEUE,
        help_text=_("Where user name and password come from (section 1.3)."),
    )
    incoming_user_name = models.CharField(_("incoming user name"), max_length=250, blank=True)
    incoming_password = SecretField(_("incoming password"), max_length=250)
    incoming_use_impersonation = models.BooleanField(
        _("use impersonation for incoming"),
        default=False,
        help_text=_(
            "Exchange: the profile's account acts for each mailbox, by a right granted on the server. "
            "Otherwise it must be a delegate, which can't serve appointments, contacts and tasks "
            "(R1.17)."
        ),
    )

    # Outgoing
    use_same_settings_for_outgoing_connections = models.BooleanField(
        _("use same settings for outgoing"),
        default=True,
        help_text=_("Outgoing copies authentication, user name and password of incoming (R1.15)."),
    )
    outgoing_server_location = models.CharField(
        _("outgoing server"),
        max_length=2084,
        blank=True,
        help_text=_("Host name; for Exchange also the address of its web service."),
    )
    outgoing_port_number = models.IntegerField(
        _("outgoing port"),
        null=True,
        blank=True,
        validators=PORT,
        help_text=_("Empty: 587 with STARTTLS (R1.25)."),
    )
    outgoing_uses_ssl = models.BooleanField(
        _("use TLS for outgoing"),
        default=True,
        help_text=_("Off only where the organization allows lines without TLS (R1.26)."),
    )
    outgoing_tls_mode = models.IntegerField(
        _("outgoing TLS starts"),
        choices=TlsMode.choices,
        default=TlsMode.BY_PORT,
        help_text=_("By port: 465 begins with TLS, other ports upgrade by STARTTLS."),
    )
    outgoing_authentication_protocol = models.IntegerField(
        _("outgoing authentication protocol"),
        choices=AuthenticationProtocol.choices,
        default=AuthenticationProtocol.AUTO_DETECT,
    )
    outgoing_credential_retrieval = models.IntegerField(
        _("authenticate outgoing using"),
        choices=CredentialRetrieval.choices,
        default=CredentialRetrieval.USER_OR_QUEUE,
        help_text=_("Where user name and password come from (section 1.3)."),
    )
    outgoing_user_name = models.CharField(_("outgoing user name"), max_length=250, blank=True)
    outgoing_password = SecretField(_("outgoing password"), max_length=250)
    outgoing_use_impersonation = models.BooleanField(
        _("use impersonation for outgoing"),
        default=False,
        help_text=_(
            "Exchange: the profile's account acts for each mailbox, by a right granted on the server. "
            "Otherwise it must be a delegate, which can't serve appointments, contacts and tasks "
            "(R1.17)."
        ),
    )
    outgoing_auto_grant_delegate_access = models.BooleanField(
        _("auto-grant delegate access"),
        default=False,
        help_text=_("Not supported: grant the right on the server. Kept for imports (R1.18)."),
    )

    # OAuth
    oauth_client_id = models.CharField(_("client id"), max_length=1024, blank=True)
    oauth_client_secret = SecretField(_("client secret"), max_length=1024)
    aad_resource_id = models.CharField(_("resource id"), max_length=1024, blank=True)
    exchange_online_tenant_id = models.CharField(_("tenant id"), max_length=36, blank=True)
    use_default_tenant_id = models.BooleanField(_("use default tenant id"), default=True)
    server_authority = models.IntegerField(
        _("token authority"), choices=ServerAuthority.choices, default=ServerAuthority.AUTOMATIC
    )
    oauth_grant = models.CharField(
        _("tokens stand for"),
        max_length=16,
        choices=OAuthGrant.choices,
        blank=True,
        help_text=_("Empty: as usual for the way of authenticating (R1.21)."),
    )
    oauth_authorization_endpoint = models.CharField(
        _("authorization endpoint"),
        max_length=2084,
        blank=True,
        help_text=_("Where owners sign in. Empty: Google's or Microsoft's (R1.21)."),
    )
    oauth_token_endpoint = models.CharField(
        _("token endpoint"),
        max_length=2084,
        blank=True,
        help_text=_("Where tokens are given out. Empty: Google's or Microsoft's (R1.21)."),
    )
    oauth_scopes = models.CharField(
        _("scopes"),
        max_length=2084,
        blank=True,
        help_text=_("What to ask for, with spaces between. Empty: what mail needs there (R1.21)."),
    )
    oauth_client_secret_expires_on = models.DateField(
        _("client secret valid until"),
        null=True,
        blank=True,
        help_text=_("As the provider shows it; a warning comes before (R1.21)."),
    )

    # Trust (ours)
    ca_certificate = models.TextField(
        _("own certificate authority"),
        blank=True,
        help_text=_("PEM. Certificates of this server must be signed by it; empty: public roots."),
    )

    # Signatures (ours, R5.32)
    dkim_sign = models.BooleanField(
        _("sign outgoing mail (DKIM)"),
        default=False,
        help_text=_("SMTP only. Switch it on once the key is published in DNS (R5.32)."),
    )
    dkim_domain = models.CharField(
        _("DKIM domain"),
        max_length=253,
        blank=True,
        help_text=_("That signs: the domain of the addresses, or one above or below it."),
    )
    dkim_selector = models.CharField(
        _("DKIM selector"),
        max_length=63,
        blank=True,
        help_text=_("Under which the key is published in DNS."),
    )
    dkim_private_key = SecretField(
        _("DKIM private key"),
        max_length=8_192,
        help_text=_("PEM, RSA of 2048 to 4096 bits or Ed25519; or press “Make a DKIM key”."),
    )

    # Limits and behaviour (section 1.5)
    process_emails_received_after = models.DateTimeField(
        _("process emails received after"),
        default=timezone.now,
        help_text=_("Mail received before is left alone (R3.7, R3.8)."),
    )
    min_polling_interval_in_minutes = models.IntegerField(
        _("minimum polling interval (minutes)"),
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1_440)],
        help_text=_("Lower bound between two incoming polls of one mailbox (R1.29)."),
    )
    max_concurrent_connections = models.IntegerField(
        _("maximum concurrent connections"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(300)],
        help_text=_("Per authenticated account, over all workers (R1.29, R9.6)."),
    )
    push = models.BooleanField(
        _("push"),
        default=True,
        help_text=_(
            "Where “manage.py watch” runs, let the server tell of new mail by itself: by IDLE, or by "
            "notifications of Exchange. That takes a connection of its own (R10.1)."
        ),
    )
    timeout_mailbox_connection = models.BooleanField(_("time out mailbox connection"), default=True)
    timeout_mailbox_connection_after_amount = models.IntegerField(
        _("time out after (milliseconds)"),
        default=100_000,
        validators=[MinValueValidator(0), MaxValueValidator(100_000)],
        help_text=_("One request's limit (R1.29)."),
    )

    # Sending limits (ours, R5.14)
    messages_per_minute = models.PositiveIntegerField(
        _("messages per minute"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_(
            "Of all mailboxes together. Empty: no limit but what the server teaches (R5.14)."
        ),
    )
    messages_per_day = models.PositiveIntegerField(
        _("messages per day"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Of all mailboxes together, within any 24 hours."),
    )
    recipients_per_day = models.PositiveIntegerField(
        _("recipients per day"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_(
            "Of all mailboxes together, within any 24 hours: this is what most providers count."
        ),
    )
    mailbox_messages_per_minute = models.PositiveIntegerField(
        _("messages per minute and mailbox"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Of each mailbox that has no limit of its own."),
    )
    mailbox_messages_per_day = models.PositiveIntegerField(
        _("messages per day and mailbox"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Of each mailbox that has no limit of its own, within any 24 hours."),
    )
    mailbox_recipients_per_day = models.PositiveIntegerField(
        _("recipients per day and mailbox"),
        null=True,
        blank=True,
        validators=AT_LEAST_ONE,
        help_text=_("Of each mailbox that has no limit of its own, within any 24 hours."),
    )

    # What else happens
    move_undelivered_emails = models.BooleanField(
        _("move failed emails to undeliverable folder"),
        default=False,
        help_text=_("Exchange only (R3.70)."),
    )
    encoding_code_page = models.CharField(
        _("encoding code page"),
        max_length=100,
        blank=True,
        help_text=_("Encoding of outgoing content; empty: UTF-8 (R1.28)."),
    )
    send_email_alert = models.BooleanField(
        _("alert owner on major events"),
        default=False,
        help_text=_("One mail if over half of the mailboxes failed within an hour (R8.15)."),
    )
    owner_email_address = models.EmailField(
        _("owner's address for alerts"), max_length=100, blank=True
    )

    # The last test of the profile itself
    last_test_execution_status = models.IntegerField(
        choices=ExecutionStatus.choices, null=True, blank=True, editable=False
    )
    last_test_validation_status = models.IntegerField(
        choices=ValidationStatus.choices, null=True, blank=True, editable=False
    )
    last_authorization_status = models.IntegerField(
        choices=ValidationStatus.choices, null=True, blank=True, editable=False
    )
    last_test_start_time = models.DateTimeField(null=True, blank=True, editable=False)
    last_test_total_execution_time = models.BigIntegerField(null=True, blank=True, editable=False)
    last_test_request = models.TextField(max_length=2084, blank=True, editable=False)
    last_test_response = models.TextField(max_length=2084, blank=True, editable=False)
    last_crm_message = models.TextField(max_length=2084, blank=True, editable=False)

    class Meta(Owned.Meta):
        verbose_name = _("email server profile")
        verbose_name_plural = _("email server profiles")
        ordering = ["name"]
        permissions = [("move_secrets", _("Can let stored secrets go to other servers (R1.9)"))]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> ServerType:
        return ServerType(self.server_type)

    @property
    def email_server_type_name(self) -> str:
        return self.get_server_type_display()

    @property
    def is_incoming_password_set(self) -> bool:
        return bool(self.incoming_password)

    @property
    def is_outgoing_password_set(self) -> bool:
        return bool(self.outgoing_password)

    @property
    def is_dkim_private_key_set(self) -> bool:
        return bool(self.dkim_private_key)

    @property
    def is_oauth_client_secret_set(self) -> bool:
        return bool(self.oauth_client_secret)

    def clean(self) -> None:
        if faults := profile_faults(self):
            raise ValidationError(dict(faults))
