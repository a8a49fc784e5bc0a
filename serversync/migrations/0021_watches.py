import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0017_push"),
        ("serversync", "0020_test_message_back"),
    ]

    operations = [
        migrations.CreateModel(
            name="WatchProcess",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Machine and process number.",
                        max_length=256,
                        verbose_name="process",
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="started"),
                ),
                (
                    "seen_at",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, verbose_name="seen"
                    ),
                ),
            ],
            options={
                "verbose_name": "watch process",
                "verbose_name_plural": "watch processes",
            },
        ),
        migrations.CreateModel(
            name="MailboxWatch",
            fields=[
                (
                    "mailbox",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="watch",
                        serialize=False,
                        to="mailboxes.mailbox",
                        verbose_name="mailbox",
                    ),
                ),
                (
                    "account",
                    models.CharField(
                        blank=True,
                        db_index=True,
                        help_text="What its connection counts against (R1.29, R9.6).",
                        max_length=64,
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(
                        blank=True,
                        help_text="None: not connected.",
                        null=True,
                        verbose_name="pushed since",
                    ),
                ),
                (
                    "last_event_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last event"),
                ),
                ("events", models.PositiveBigIntegerField(default=0, verbose_name="events")),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, verbose_name="failures in a row"),
                ),
                (
                    "retry_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="None: as soon as somebody can.",
                        null=True,
                        verbose_name="next attempt",
                    ),
                ),
                (
                    "last_error_code",
                    models.CharField(blank=True, max_length=64, verbose_name="last error"),
                ),
                (
                    "last_error_text",
                    models.CharField(blank=True, max_length=2048, verbose_name="error text"),
                ),
                ("last_error_at", models.DateTimeField(blank=True, null=True)),
                (
                    "process",
                    models.ForeignKey(
                        blank=True,
                        help_text="Who listens, or is about to; none: nobody.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="watches",
                        to="serversync.watchprocess",
                        verbose_name="process",
                    ),
                ),
            ],
            options={
                "verbose_name": "watched mailbox",
                "verbose_name_plural": "watched mailboxes",
            },
        ),
    ]
