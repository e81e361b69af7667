"""A trainer worker of its own for a test: real processes on a real database file, without the rest of the console."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.runs import ROOT, make_dataset
from training.processes import ProcessId

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "console.settings",
    "CAPACITY_AUTOMATIC": "False",
    "ARCHITECTURES_FILE": str(ROOT / "tests" / "architectures.json"),
    "STOP_GRACE_SECONDS": "20",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
CREATE = """
from django.contrib.auth.models import User
from training import services
from training.models import Dataset, Project
user, _ = User.objects.get_or_create(username="admin")
project = Project.objects.first() or services.project_create(name="p", owner=user)
dataset, _ = Dataset.objects.get_or_create(pk="{dataset}", defaults=dict(
    project=project, name="shapes", algorithm="image_classification", status="READY"))
training = services.training_create(project=project, user=user, name="{name}", dataset=dataset,
    initial_weights="scratch", device="{device}", hyperparameters={hyperparameters})
print(training.pk)
"""


class Console:
    """A CONSOLE_HOME with its database; `start_worker()` any number of times."""

    DATASET = "d" * 20

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, **ENVIRONMENT, "CONSOLE_HOME": str(home)}
        self.workers: list[subprocess.Popen[bytes]] = []

    def set_up(self) -> None:
        self.manage("migrate", "-v0")
        make_dataset("image_classification", self.home / "datasets" / self.DATASET)

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=True, text=True, stdout=-1).stdout

    def shell(self, code: str) -> str:
        return self.manage("shell", "-v0", "-c", code).strip()

    def create(self, name: str = "t", **hyperparameters: float) -> str:
        """Queue a training by the service. -> its id"""
        quick = {"per_device_train_batch_size": 2, "learning_rate": 0.001, "logging_steps": 1, "save_steps": 2}
        given = {"num_train_epochs": 100_000, **quick, **hyperparameters}
        return self.shell(CREATE.format(dataset=self.DATASET, name=name, device="auto", hyperparameters=given))

    def start_worker(self, *command: str) -> subprocess.Popen[bytes]:
        """`command`: of manage.py, or Python's own arguments; the trainer worker when it is left out."""
        arguments = command if command[:1] == ("-c",) else ("manage.py", *(command or ("trainer_worker",)))
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # as the launcher does
            )
        self.workers.append(worker)
        return worker

    def row(self, training_id: str, *columns: str) -> tuple:
        database = sqlite3.connect(self.home / "console.sqlite3", timeout=30)
        try:
            query = f"select {', '.join(columns)} from training_training where id = ?"
            return database.execute(query, [training_id]).fetchone()
        finally:
            database.close()

    def status(self, training_id: str) -> str:
        return self.row(training_id, "status")[0]

    def trainer(self, training_id: str) -> ProcessId:
        return ProcessId(*self.row(training_id, "pid", "pid_started"))

    def events(self, training_id: str) -> list[str]:
        database = sqlite3.connect(self.home / "console.sqlite3", timeout=30)
        try:
            query = "select to_status from training_event where object_id = ? order by id"
            return [row[0] for row in database.execute(query, [training_id])]
        finally:
            database.close()

    def runner(self, training_id: str) -> int:
        """The pid of the process that follows this training."""
        return int(self.row(training_id, "lease_owner")[0].split(":")[1])

    def wait(self, training_id: str, status: str, step: int = 0, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while (now := self.row(training_id, "status", "step"))[0] != status or now[1] < step:
            assert time.monotonic() < deadline, f"{now}\n{(self.home / 'worker.log').read_text()[-4000:]}"
            time.sleep(0.1)

    def processes(self) -> list[psutil.Process]:
        """Every living process of this home: all of them carry it in their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CONSOLE_HOME") == str(self.home) and process.status() != "zombie":
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def stop_worker(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Signal the worker's whole group, as the launcher does, and wait for its end. -> exit code"""
        worker = self.workers.pop()
        os.killpg(worker.pid, number)
        return worker.wait(seconds)

    def kill_everything(self) -> None:
        for process in self.processes():
            process.kill()
        for worker in self.workers:
            worker.wait(10)
