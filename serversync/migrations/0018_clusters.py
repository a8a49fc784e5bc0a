from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('serversync', '0017_daily_totals'),
    ]

    operations = [
        migrations.CreateModel(
            name='Cluster',
            fields=[
                ('name', models.CharField(help_text='Machine and process of its supervisor.', max_length=256, primary_key=True, serialize=False, verbose_name='name')),
                ('workers', models.PositiveIntegerField(default=0, verbose_name='workers')),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('seen_at', models.DateTimeField(help_text='A worker of it has begun a job.', verbose_name='last sign of life')),
            ],
            options={
                'verbose_name': 'cluster',
                'verbose_name_plural': 'clusters',
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='workload',
            name='items_so_far',
            field=models.PositiveIntegerField(default=0, help_text='Of the cycle that runs: noted with each page, as the lease is renewed.', verbose_name='items so far'),
        ),
    ]
