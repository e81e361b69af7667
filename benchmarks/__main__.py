"""`python -m benchmarks` (`make bench`): every benchmark, as tables with ratios. Exits 1 when a promise is broken."""

import sys

from benchmarks import ingest, serving, training

if __name__ == "__main__":
    sys.exit(max(serving.main([]), ingest.main([]), training.main([])))
