"""System checks: combinations of settings with which mail would be lost, doubled or stuck."""

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import models
from django.utils.module_loading import import_string

from mailboxes.redirect import redirect_address


@register(Tags.security)
def encryption_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    keys = getattr(settings, "FIELD_ENCRYPTION_KEYS", [])
    if not keys:
        return [
            Error(
                "FIELD_ENCRYPTION_KEYS is empty, so no password can be stored.",
                hint="Make a key with `python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'` and set FIELD_ENCRYPTION_KEYS to it.",
                id="serversync.E001",
            )
        ]
    if not all(_is_key(key) for key in keys):
        return [
            Error(
                "FIELD_ENCRYPTION_KEYS holds something that is no Fernet key.",
                hint="Each key is 32 bytes in URL-safe base64; separate them by commas, newest "
                "first.",
                id="serversync.E002",
            )
        ]
    return []


@register()
def connections(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return transaction_settings(settings.DATABASES)


def transaction_settings(databases: dict[str, Any]) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias, database in databases.items():
        if database.get("ATOMIC_REQUESTS"):
            found.append(
                Error(
                    f"ATOMIC_REQUESTS is on for the database “{alias}”: a page that talks to a mail "
                    "server would hold a transaction open meanwhile.",
                    hint="Switch it off; what belongs together opens its own transaction.",
                    id="serversync.E003",
                )
            )
        if database.get("OPTIONS", {}).get("pool"):
            found.append(
                Error(
                    f"The database “{alias}” has a connection pool, which the cluster's forked "
                    "workers would share: they lose results and can't be stopped.",
                    hint="Remove OPTIONS['pool'] and set DATABASE_CONN_MAX_AGE instead.",
                    id="serversync.E004",
                )
            )
    return found


@register()
def queue(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    return queue_settings(settings.Q_CLUSTER)


def queue_settings(cluster: dict[str, Any]) -> list[CheckMessage]:
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    found: list[CheckMessage] = []
    if timeout is None or retry <= timeout:
        found.append(
            Error(
                f"Q_CLUSTER retry ({retry}) is not greater than its timeout ({timeout}): a job "
                "that still runs would be delivered a second time.",
                hint="Set a timeout, and retry well above it.",
                id="serversync.E005",
            )
        )
    if not cluster.get("max_attempts"):
        found.append(
            Error(
                "Q_CLUSTER has no max_attempts: a job that always fails would be tried forever.",
                hint="Set max_attempts, e.g. to 3.",
                id="serversync.E006",
            )
        )
    return found


@register()
def email_enabled_models(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for label in settings.EMAIL_ENABLED_MODELS:
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            found.append(
                Error(
                    f"EMAIL_ENABLED_MODELS names {label}, which is no model.",
                    hint="Write it as app_label.ModelName of an installed application.",
                    id="serversync.E007",
                )
            )
            continue
        if not any(isinstance(field, models.EmailField) for field in model._meta.fields):
            found.append(
                Error(
                    f"EMAIL_ENABLED_MODELS names {label}, which has no email field, so no address "
                    "would ever find it.",
                    hint="Give the model an EmailField, or take it out of the list.",
                    id="serversync.E008",
                )
            )
    return found


@register()
def receipt_hooks(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for path in settings.RECEIPT_HOOKS:
        try:
            wrong = "" if callable(import_string(path)) else "can't be called"
        except ImportError as error:
            wrong = f"can't be imported: {error}"
        if wrong:
            found.append(
                Error(
                    f"RECEIPT_HOOKS names {path}, which {wrong}. Every message would fail.",
                    hint="Write it as package.module.function of what is installed here.",
                    id="serversync.E009",
                )
            )
    if settings.RECEIPT_HOOKS and settings.RECEIPT_HOOK_SECONDS <= 0:
        found.append(
            Error(
                "RECEIPT_HOOK_SECONDS leaves no time, so that every hook would run later.",
                hint="Set it to 5, or to a little more than your hooks need.",
                id="serversync.E010",
            )
        )
    return found


#: Values of EMAIL_BACKEND whose mail is redirected, or goes nowhere.
REACH_NOBODY = {
    "serversync.site_mail.MailboxBackend",
    *(f"django.core.mail.backends.{kind}.EmailBackend" for kind in (
        "console", "dummy", "filebased", "locmem",
    )),
}  # fmt: skip


@register()
def redirected_mail(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    address = redirect_address()
    if not address:
        return []
    said: list[CheckMessage] = [
        Warning(
            f"All outgoing mail goes to {address}, none to its recipients.",
            hint="Right for a site for staging. For one that is to reach people, remove "
            "REDIRECT_ALL_MAIL_TO.",
            id="serversync.W002",
        )
    ]
    if settings.EMAIL_BACKEND not in REACH_NOBODY:
        said.append(
            Error(
                "Mail of the site's own code (EMAIL_BACKEND) doesn't pass a mailbox, so it isn't "
                f"redirected to {address}.",
                hint="Set SITE_MAIL_SENDER, so that it does, or another EMAIL_BACKEND that reaches "
                "nobody.",
                id="serversync.E011",
            )
        )
    return said


@register()
def site_mail(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Whether a user or queue has the addresses is told by the first message: no check reads rows."""
    named = {"SITE_MAIL_SENDER": settings.SITE_MAIL_SENDER} if settings.SITE_MAIL_SENDER else {}
    named |= {f"SITE_MAIL_SENDERS ({key})": one for key, one in settings.SITE_MAIL_SENDERS.items()}
    wrong = [name for name, address in named.items() if "@" not in address]
    wrong += [f"SITE_MAIL_SENDERS ({key})" for key in settings.SITE_MAIL_SENDERS if "@" not in key]
    return [
        Error(
            f"{name} is no address, so mail of the site's own code could not be sent.",
            hint="Enter the address of a user or a queue; of several pairs as from=mailbox, separated "
            "by commas.",
            id="serversync.E012",
        )
        for name in dict.fromkeys(wrong)
    ]


@register(deploy=True)
def shared_storage(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    storages: dict[str, Any] = settings.STORAGES
    return storage_settings(
        settings.DATABASES["default"]["ENGINE"],
        storages.get("mail", {}).get("BACKEND", ""),
        settings.MAIL_STORAGE_SHARED,
    )


def storage_settings(engine: str, backend: str, shared: bool) -> list[CheckMessage]:
    """SQLite means one machine anyway."""
    if shared or "sqlite3" in engine or not backend.endswith("FileSystemStorage"):
        return []
    return [
        Warning(
            "Large messages are stored in a folder, and nothing says that all machines share it.",
            hint="With one machine, or with the folder mounted on all of them, set "
            "MAIL_STORAGE_SHARED=true; else name a shared storage as STORAGES['mail'].",
            id="serversync.W001",
        )
    ]


def _is_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
