"""Several hosts of one console, on one machine: trainer workers with names of their own, one PostgreSQL, one Redis."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from tests.reliability.worker import CREATE, Console
from tests.runs import ROOT

# Processes that see no others, and pids that begin at 1: as on another machine.
APART = ["unshare", "--pid", "--fork", "--mount-proc"]


def is_apart() -> bool:
    """Whether this machine lets us have that."""
    return bool(shutil.which("unshare")) and subprocess.run([*APART, "true"], check=False).returncode == 0


class Hosts(Console):
    """A CONSOLE_HOME that they share. `start_host("a")`: a trainer worker there, with one slot."""

    def __init__(self, home: Path, database: str, broker: str) -> None:
        super().__init__(home)
        self.database = database
        self.environment |= {
            "DATABASE_URL": database,
            "BROKER_URL": broker,
            "LEASE_SECONDS": "9",
            "TRAINING_SLOTS": "1",
        }

    def create_many(self, count: int, device: str = "auto", **hyperparameters: float) -> list[str]:
        """Queue trainings by the service. -> their ids"""
        quick = {"per_device_train_batch_size": 2, "learning_rate": 0.001, "logging_steps": 1, **hyperparameters}
        first = self.query("SELECT count(*) FROM training_training")[0][0]
        given = {"dataset": self.DATASET, "device": device, "hyperparameters": quick}
        each = (CREATE.format(name=f"t{first + n}", **given) for n in range(count))
        return self.shell("\n".join(each)).split()

    def start_host(self, name: str, **environment: str) -> None:
        command = f"{sys.executable} manage.py trainer_worker & sleep infinity"  # a host whose pid 1 dies is gone
        with (self.home / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                [*APART, "sh", "-c", command],
                cwd=ROOT,
                env={**self.environment, "HOST_NAME": name, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)

    def kill_host(self, name: str) -> None:
        """As when its power is cut: the worker, its runners, its trainers, all at once."""
        kill(self.processes_of(name, "sh"))  # its pid 1: the kernel kills the others with it

    def kill_worker(self, name: str) -> None:
        """The worker and its runners die; the trainers do not notice."""
        kill(self.processes_of(name, "trainer_worker"))

    def kill_everything(self) -> None:
        kill(self.processes())
        for worker in self.workers:
            worker.wait(10)

    def processes_of(self, name: str, word: str) -> list[psutil.Process]:
        """Those of a host that have `word` in their command line."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if process.environ().get("HOST_NAME") == name and word in process.cmdline():
                    found.append(process)
        return found

    def query(self, sql: str, *values: object) -> list[tuple]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, training_id: str, *columns: str) -> tuple:
        return self.query(f"SELECT {', '.join(columns)} FROM training_training WHERE id = %s", training_id)[0]

    def events(self, training_id: str) -> list[str]:
        rows = self.query("SELECT to_status FROM training_event WHERE object_id = %s ORDER BY id", training_id)
        return [row[0] for row in rows]

    def logs(self) -> str:
        return "".join(f"== {path}\n{path.read_text()[-3000:]}" for path in self.home.glob("*.log"))


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has died with another one
            process.kill()
