"""A short `make chaos`: a working console, and one process of each kind killed."""

from tests.chaos.kills import KINDS
from tests.chaos.run import Chaos


def test_eight_kills_lose_nothing(tmp_path):
    chaos = Chaos(tmp_path / "home")
    ledger = chaos.run(["image_classification"], kills=len(KINDS), seconds=16, quick=True)
    assert {kind for _moment, kind in ledger.kills} == set(KINDS)
    assert ledger.flawless(), f"seed {chaos.seed}\n{ledger.tables()}"
