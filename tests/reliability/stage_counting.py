"""`python -m tests.reliability.stage_counting`: count calls of a stage that keeps images, for ever, and print how many
are written. With `check`: print as JSON what the rows and the folder of the images say."""

import io
import json
import os
import sys
import time
from datetime import timedelta

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from PIL import Image  # noqa: E402

from endpoints import kept_images, services, statistics  # noqa: E402
from endpoints.models import Stage  # noqa: E402
from tests.endpoints.colours import colour_model  # noqa: E402
from training.models import Project  # noqa: E402


def stage() -> Stage:
    found = Stage.objects.first()
    if found is None:
        user, project = User.objects.create(username="owner"), Project.objects.create(name="Colours")
        model = colour_model(project)
        found = services.endpoint_create(project=project, user=user, name="e", model=model)[0].default_stage
        services.stage_keep_images(stage=found, user=user, keep=True)
    return found


def count() -> None:
    row, out = stage(), io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "PNG")
    image = {"body": out.getvalue(), "content_type": "image/png", "batch_size": 2}
    while True:
        now = timezone.now()
        calls = [statistics.Call(row.pk, now - timedelta(minutes=30 * n), "/", 200, 5, **image) for n in range(5)]
        statistics.write(calls)
        print(len(calls), flush=True)


def check() -> None:
    row = stage()
    hours = row.hours.filter(hour__gte=statistics.TOTALS_BEFORE)
    by_hour: dict[str, int] = {}
    for minute in row.minutes.all():
        at = statistics.hour_of(minute.minute).isoformat()
        by_hour[at] = by_hour.get(at, 0) + minute.calls
    for file in kept_images.folder(row.pk).glob("*"):
        os.utime(file, (time.time() - 2 * kept_images.YOUNG_SECONDS,) * 2)
    kept_images.sweep()
    answer = {
        "minutes": by_hour,
        "hours": {hour.hour.isoformat(): hour.calls for hour in hours},
        "total": sum(one.calls for one in row.hours.filter(hour__lt=statistics.TOTALS_BEFORE)),
        "images": sorted(row.requests.exclude(image="").values_list("image", flat=True)),
        "files": sorted(file.name for file in kept_images.folder(row.pk).glob("*")),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    check() if sys.argv[1:] == ["check"] else count()
