"""An import ends well although its worker is killed in the middle of the copy."""

import time

import httpx

from tests import corpus
from tests.running import RunningConsole, running_console


def kill_workers(console: RunningConsole) -> int:
    """SIGKILL every process of the worker. -> how many there were."""
    workers = [process for process in console.processes() if "manage.py worker" in " ".join(process.cmdline())]
    for process in workers:
        process.kill()
    return len(workers)


def test_the_worker_is_killed_in_the_middle_of_an_import(tmp_path):
    root = tmp_path / "shared"
    images = {f"{split}/{label}": corpus.encoded(corpus.picture(number)) for number, label in enumerate(("cat", "dog"))
              for split in ("train", "validation")}  # fmt: skip
    for folder, content in images.items():
        (root / "pets" / folder).mkdir(parents=True)
        for number in range(400):
            (root / "pets" / folder / f"{number}.png").write_bytes(content)
    with running_console(tmp_path / "home", IMPORT_ROOTS=str(root)) as console:
        headers = {"Authorization": f"Bearer {console.token()}"}
        with httpx.Client(base_url=f"{console.url}/api/v1/datasets/", headers=headers, timeout=30) as client:
            source = {"kind": "folder", "where": str(root / "pets")}
            made = client.post("import/", json={"algorithm": "image_classification", "source": source}).json()
            part = console.home / "datasets" / made["id"] / "upload.part"
            deadline = time.monotonic() + 60
            while not part.exists():
                assert time.monotonic() < deadline, console.output()[-3000:]
                time.sleep(0.002)
            assert kill_workers(console)
            while (seen := client.get(f"{made['id']}/").json())["status"] not in ("READY", "INVALID"):
                assert time.monotonic() < deadline + 60, seen
                time.sleep(0.2)
    assert (seen["status"], seen["images"]) == ("READY", {"train": 800, "validation": 800}), seen["status_reason"]
