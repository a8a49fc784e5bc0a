import django.db.models.deletion
import django.utils.timezone
import mailboxes.models.base
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('activities', '0011_bin'),
    ]

    operations = [
        migrations.AlterField(
            model_name='activityparty',
            name='delivery_result',
            field=models.IntegerField(choices=[(0, 'Not sent'), (1, 'Accepted'), (2, 'Refused'), (3, 'Delayed'), (4, 'Delivered'), (5, 'Undelivered this time'), (6, 'Undelivered for good'), (7, 'Read'), (8, 'Reported as unwanted'), (9, 'Redirected')], default=0, verbose_name='delivery'),
        ),
        migrations.AddField(
            model_name='email',
            name='extras',
            field=models.JSONField(blank=True, default=dict, editable=False, help_text='Plain text beside HTML, header fields and the like, of mail that code sent.', verbose_name="given by the site's code"),
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.UUIDField(default=mailboxes.models.base.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=255, unique=True, verbose_name='idempotency key')),
                ('digest', models.CharField(help_text='Of the content: another one under the same key is refused.', max_length=64)),
                ('created_on', models.DateTimeField(default=django.utils.timezone.now)),
                ('email', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='idempotency_keys', to='activities.email', verbose_name='email')),
            ],
            options={
                'verbose_name': 'idempotency key',
                'verbose_name_plural': 'idempotency keys',
            },
        ),
    ]
