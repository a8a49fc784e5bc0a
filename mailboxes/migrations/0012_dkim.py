import mailboxes.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0011_sending_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='emailserverprofile',
            name='dkim_sign',
            field=models.BooleanField(default=False, help_text='SMTP only. Switch it on once the key is published in DNS (R5.32).', verbose_name='sign outgoing mail (DKIM)'),
        ),
        migrations.AddField(
            model_name='emailserverprofile',
            name='dkim_domain',
            field=models.CharField(blank=True, help_text='That signs: the domain of the addresses, or one above or below it.', max_length=253, verbose_name='DKIM domain'),
        ),
        migrations.AddField(
            model_name='emailserverprofile',
            name='dkim_selector',
            field=models.CharField(blank=True, help_text='Under which the key is published in DNS.', max_length=63, verbose_name='DKIM selector'),
        ),
        migrations.AddField(
            model_name='emailserverprofile',
            name='dkim_private_key',
            field=mailboxes.fields.SecretField(blank=True, default='', help_text='PEM, RSA of 2048 to 4096 bits or Ed25519; or press “Make a DKIM key”.', max_length=8192, verbose_name='DKIM private key'),
        ),
    ]
