from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('serversync', '0005_track_by_hand'),
    ]

    operations = [
        migrations.AddField(
            model_name='submission',
            name='redirected_to',
            field=models.CharField(blank=True, help_text='It went there in place of its recipients, on a site for staging (R5.30).', max_length=320, verbose_name='redirected to'),
        ),
    ]
