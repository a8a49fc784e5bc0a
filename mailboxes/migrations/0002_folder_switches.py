from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='organization',
            name='allow_folder_tracking_for_imap',
            field=models.BooleanField(default=False, help_text='Ours: the original tracks folders of Exchange only (R7.30).', verbose_name='track folders on IMAP servers, too'),
        ),
        migrations.AddField(
            model_name='organization',
            name='allow_folder_tracking_for_queues',
            field=models.BooleanField(default=False, help_text='Ours: the original tracks folders of users only (R7.1, R10.15).', verbose_name='track folders of queues, too'),
        ),
        migrations.AddField(
            model_name='organization',
            name='keep_manual_regarding',
            field=models.BooleanField(default=False, help_text='Ours: a folder rule leaves an email alone that somebody filed by hand (R7.10, R10.14).', verbose_name='keep manual regarding'),
        ),
    ]
