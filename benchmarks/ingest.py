"""Ingest of a large classification zip against merely unpacking it and decoding each image once with Pillow.

`python -m benchmarks.ingest [--images 70000] [--rounds 3]`. Both do the same zip in turn, each in a process of its own
that says how long the work took and how much memory it ever held. The ingest is the whole of it: hostile zips, layout,
data doctor, index, the rows in the database, everything synced to the disk, and the progress that a page shows, which
is printed as it comes. `zipfile` is Python's own; where the `unzip` program is installed it is measured too.
"""

import argparse
import io
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 70_000
LABELS = 10
SIDE = 28
PROMISED_RATIO, PROMISED_MB = 1.5, 500
SPLITS = (("train", 6 / 7), ("validation", 1 / 14), ("test", 1 / 14))
WORKS = ("unzip, Pillow", "zipfile, Pillow", "ingest")


def write_zip(path: Path, images: int) -> None:
    """`images` different grey PNGs, smooth with a little noise, of ten labels in three splits."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for split, share in SPLITS:
            for number in range(round(images * share)):
                coarse = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
                smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
                pixels = np.clip(smooth + rng.integers(-8, 9, (SIDE, SIDE)), 0, 255).astype(np.uint8)
                content = io.BytesIO()
                Image.fromarray(pixels).save(content, "PNG", compress_level=1)
                archive.writestr(f"{split}/label-{number % LABELS}/{number:05}.png", content.getvalue())


def unpack_and_open(zip_path: Path, folder: Path, work: str) -> None:
    """What is merely necessary."""
    if work == WORKS[0]:
        subprocess.run(["unzip", "-q", str(zip_path), "-d", str(folder)], check=True)
    else:
        with zipfile.ZipFile(zip_path) as archive:
            archive.extractall(folder)
    for where, _folders, files in os.walk(folder):
        for file in files:
            with Image.open(os.path.join(where, file)) as image:
                image.load()


def prepare_ingest(zip_path: Path) -> str:
    """A VALIDATING dataset with the zip, in a new home. -> its id"""
    import django

    django.setup()
    from django.core.management import call_command

    from training.models import Dataset, Project

    call_command("migrate", verbosity=0)
    project = Project.objects.create(name="Benchmark")
    row = Dataset(project=project, name="images", algorithm="image_classification", status="VALIDATING")
    row.folder.mkdir(parents=True)
    os.link(zip_path, row.upload_path)
    row.zip_sha256 = "0" * 64  # an upload has it by then: it is summed up while it arrives
    row.save()
    return str(row.pk)


def child(work: str, zip_path: Path, folder: Path) -> None:
    """One measurement: prints {"seconds", "mb", ...} as its last line."""
    if work != "ingest":
        began = time.perf_counter()
        unpack_and_open(zip_path, folder, work)
        found: dict[str, Any] = {"seconds": time.perf_counter() - began}
    else:
        pk = prepare_ingest(zip_path)
        from training import ingest
        from training.models import Dataset

        began = time.perf_counter()
        ingest.run(pk)
        found = {"seconds": time.perf_counter() - began}
        row = Dataset.objects.get(pk=pk)
        found |= {"status": row.status, "images": sum(row.images.values()), "report": row.report}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    helper = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if work == "ingest" else 0
    found |= {"mb": (usage.ru_maxrss + helper) / 1024, "user": usage.ru_utime, "system": usage.ru_stime}
    print(json.dumps(found))


def measure(work: str, zip_path: Path, folder: Path) -> dict[str, Any]:
    """Run one child, and show the progress that its dataset's row has meanwhile."""
    os.sync()  # what the last one wrote must not slow this one
    environment = {**os.environ, "CONSOLE_HOME": str(folder), "DJANGO_SETTINGS_MODULE": "console.settings"}
    command = [sys.executable, "-m", "benchmarks.ingest", "--child", work, str(zip_path), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        seen: list[str] = []
        while process.poll() is None:
            time.sleep(0.5)
            if (now := progress(folder / "console.sqlite3")) and now not in seen:
                seen.append(now)
                print(f"    {now}", flush=True)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{work} failed")
    return {**json.loads(output.splitlines()[-1]), "progress": len(seen)}


def progress(database: Path) -> str:
    """What the page would show at this moment; "" when there is nothing yet."""
    if not database.exists():
        return ""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT progress FROM training_dataset").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return ""
    row = json.loads(found[0]) if found else {}
    return f"{row['phase']} {row['done']:,} of {row['total']:,}" if row else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, metavar=("WORK", "ZIP", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child(options.child[0], Path(options.child[1]), Path(options.child[2]))
        return 0
    works = [work for work in WORKS if work != WORKS[0] or shutil.which("unzip")]
    found: dict[str, list[dict[str, Any]]] = {work: [] for work in works}
    print(f"Ingest of a zip of {options.images:,} images of {SIDE} x {SIDE}, {options.rounds} rounds, in turn\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        zip_path = Path(home, "images.zip")
        write_zip(zip_path, options.images)
        for number in range(options.rounds):
            for work in works:
                # Nothing is removed in between: for a minute ext4 searches its way around the inodes just freed.
                folder = Path(home, f"{number}-{works.index(work)}")
                folder.mkdir()
                found[work].append(measure(work, zip_path, folder))
                print(f"  round {number + 1}: {work} {found[work][-1]['seconds']:.1f} s", flush=True)
    return summary(found, options.images)


def summary(found: dict[str, list[dict[str, Any]]], images: int) -> int:
    """The table. -> 1 when a promise is broken."""
    for result in found["ingest"]:
        if (result["status"], result["images"]) != ("READY", images):
            raise RuntimeError(f"the ingest did not do its work: {result}")
    # The least of the rounds: what other processes and the file system add is no one's work.
    seconds = {work: min(result["seconds"] for result in results) for work, results in found.items()}
    print(f"\n| {'work':16} | {'seconds':>7} | {'us an image':>11} | {'peak MB':>7} | {'ingest is':>9} |")
    print(f"|{'-' * 18}|{'-' * 8}:|{'-' * 12}:|{'-' * 8}:|{'-' * 10}:|")
    for work, results in found.items():
        memory, ratio = max(result["mb"] for result in results), seconds["ingest"] / seconds[work]
        each = seconds[work] / images * 1e6
        print(f"| {work:16} | {seconds[work]:7.1f} | {each:11.0f} | {memory:7.0f} | {ratio:7.2f} x |")
    ratio = seconds["ingest"] / min(seconds[work] for work in WORKS[:2] if work in seconds)
    memory = max(result["mb"] for result in found["ingest"])
    kept = ratio <= PROMISED_RATIO and memory < PROMISED_MB
    words = f"at most {PROMISED_RATIO} x the time of the quicker of the other two, in under {PROMISED_MB} MB"
    print(f"\nPromise: {words}: {'kept' if kept else 'BROKEN'} ({ratio:.2f} x, {memory:.0f} MB)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
