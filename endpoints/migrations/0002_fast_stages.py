import django.db.models.deletion
import training.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('endpoints', '0001_initial'),
        ('models_registry', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='endpointkey',
            name='calls_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='null: any', null=True, verbose_name='calls per minute'),
        ),
        migrations.AddField(
            model_name='requestrecord',
            name='batch_size',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='requestrecord',
            name='bytes_out',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='requestrecord',
            name='image',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.AddField(
            model_name='stage',
            name='keep_images',
            field=models.BooleanField(default=False, verbose_name='keep the images of recent requests'),
        ),
        migrations.AddField(
            model_name='stageminute',
            name='batch_calls',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='stageminute',
            name='batch_total',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='batch_size',
            field=models.PositiveSmallIntegerField(blank=True, help_text='null: as measured', null=True, verbose_name='batch size'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='batch_window_ms',
            field=models.FloatField(blank=True, help_text='null: as measured', null=True, verbose_name='batch window (ms)'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='capacity',
            field=models.JSONField(default=dict, help_text='the capacity card: docs/contracts.md'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='capacity_requested_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='deployment',
            field=models.PositiveIntegerField(default=1, help_text='counted up when it is to be deployed anew'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='next_model',
            field=models.ForeignKey(blank=True, help_text='deployed now', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='coming_resources', to='models_registry.model'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='replicas',
            field=models.PositiveSmallIntegerField(default=0, help_text='0: as many as pay on this host', verbose_name='replicas'),
        ),
        migrations.AddField(
            model_name='stageresource',
            name='sockets',
            field=models.JSONField(default=list, help_text="file names of the ready engines' sockets"),
        ),
        migrations.CreateModel(
            name='Rollout',
            fields=[
                ('id', models.CharField(default=training.models.new_id, editable=False, max_length=20, primary_key=True, serialize=False)),
                ('mode', models.CharField(choices=[('canary', 'Canary'), ('shadow', 'Shadow')], max_length=8, verbose_name='mode')),
                ('share', models.PositiveSmallIntegerField(verbose_name='share of the calls (%)')),
                ('automatic', models.BooleanField(default=False, verbose_name='promote by itself')),
                ('min_calls', models.PositiveIntegerField(default=100, verbose_name='calls before it is decided')),
                ('max_error_percent', models.FloatField(default=1.0, verbose_name='highest error rate (%)')),
                ('max_p95_ms', models.FloatField(blank=True, null=True, verbose_name='highest p95 (ms)')),
                ('status', models.CharField(choices=[('RUNNING', 'RUNNING'), ('PROMOTED', 'PROMOTED'), ('ROLLED_BACK', 'ROLLED BACK'), ('ENDED', 'ENDED')], default='RUNNING', max_length=16)),
                ('status_reason', models.JSONField(blank=True, editable=False, null=True)),
                ('figures', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rollouts', to='endpoints.endpoint')),
                ('stage', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rollouts', to='endpoints.stage')),
            ],
            options={
                'ordering': ['-created_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'RUNNING')), fields=('endpoint',), name='one_running_rollout_an_endpoint')],
            },
        ),
        migrations.CreateModel(
            name='StageHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('calls', models.PositiveIntegerField(default=0)),
                ('succeeded', models.PositiveIntegerField(default=0)),
                ('client_errors', models.PositiveIntegerField(default=0)),
                ('server_errors', models.PositiveIntegerField(default=0)),
                ('bytes_in', models.BigIntegerField(default=0)),
                ('bytes_out', models.BigIntegerField(default=0)),
                ('batch_total', models.PositiveIntegerField(default=0)),
                ('batch_calls', models.PositiveIntegerField(default=0)),
                ('latencies', models.JSONField(default=dict)),
                ('hour', models.DateTimeField()),
                ('stage', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hours', to='endpoints.stage')),
            ],
            options={
                'ordering': ['hour'],
                'constraints': [models.UniqueConstraint(fields=('stage', 'hour'), name='one_row_a_stage_an_hour')],
            },
        ),
    ]
