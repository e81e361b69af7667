"""`python -m benchmarks` (`make bench`): every benchmark, as tables with ratios. Exits 1 when a promise is broken."""

import sys

from benchmarks import serving

if __name__ == "__main__":
    sys.exit(serving.main())
