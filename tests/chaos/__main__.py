"""Kill the console's processes at random moments while it works. Ends with 1 when anything was lost.

python -m tests.chaos --kills 100 --minutes 20 [--seed 7] [--services] [--database-url ... --broker-url ...]
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.journeys import PLANS
from tests.chaos.run import Chaos
from tests.chaos.services import Absent, empty_broker, empty_database


def main() -> int:
    options = _parser().parse_args()
    variables: dict[str, str] = {}
    with ExitStack() as stack:
        if options.services:
            try:
                options.database_url = stack.enter_context(empty_database())
                options.broker_url = stack.enter_context(empty_broker())
            except Absent as absent:
                print(f"--services: {absent}", file=sys.stderr)
                return 2
        if options.database_url:
            variables["DATABASE_URL"] = options.database_url
        if options.broker_url:
            variables["BROKER_URL"] = options.broker_url
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        chaos = Chaos(home, seed=options.seed, patience=options.patience, variables=variables)
        print(f"seed {chaos.seed}, {options.kills} kills within {options.minutes:g} minutes", flush=True)
        ledger = chaos.run(
            options.algorithm or list(PLANS), kills=options.kills, seconds=options.minutes * 60, quick=options.quick
        )
        database = "PostgreSQL" if options.database_url else "SQLite"
        broker = "Redis" if options.broker_url else "the database"
        print(f"\n{database}, {broker} as the broker, seed {chaos.seed}:\n\n{ledger.tables()}")
        if not ledger.flawless():
            kept = Path(tempfile.mkdtemp(prefix="chaos-log-")) / "console.out"
            kept.write_bytes((home / "console.out").read_bytes())
            print(f"\nNot flawless. The console's own output: {kept}")
    return 0 if ledger.flawless() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=20, help="for the kills; the jobs then end (default: 20)")
    parser.add_argument("--seed", type=int, help="of the moments and the victims; printed (default: a random one)")
    parser.add_argument("--patience", type=float, default=300, help="seconds after which a job counts as lost")
    parser.add_argument("--algorithm", action="append", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="with as little as possible before the first kill")
    parser.add_argument("--services", action="store_true", help="with this machine's PostgreSQL and Redis")
    parser.add_argument("--database-url", default="", help="an empty database in place of SQLite")
    parser.add_argument("--broker-url", default="", help="a Redis database in place of the database as the broker")
    return parser


if __name__ == "__main__":
    sys.exit(main())
