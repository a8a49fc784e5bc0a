from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('serversync', '0023_profile_alarms'),
    ]

    operations = [
        migrations.AddField(
            model_name='foldeditem',
            name='generation',
            field=models.PositiveIntegerField(default=1),
        ),
    ]
