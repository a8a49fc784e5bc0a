from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0016_configuration_history"),
    ]

    operations = [
        migrations.AddField(
            model_name="emailserverprofile",
            name="push",
            field=models.BooleanField(
                default=True,
                help_text="Where “manage.py watch” runs, let the server tell of new mail by itself: by IDLE, or by notifications of Exchange. That takes a connection of its own (R10.1).",
                verbose_name="push",
            ),
        ),
    ]
