from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0014_act_settings'),
    ]

    operations = [
        migrations.AddField(
            model_name='organization',
            name='fold_items_after_days',
            field=models.PositiveIntegerField(default=90, help_text='Items whose message left the server so long ago become daily totals; 0: never (R3.73).', verbose_name='fold items after (days)'),
        ),
    ]
