"""The corpus's line at the end of every test run, whichever processes ran its cases."""

from typing import Any

TEST = "tests/broken/test_corpus.py::test_what_is_wrong_is_named["


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many zips were named correctly, and which were not. The reports of xdist's workers are here too."""
    outcomes = {
        status: [report.nodeid for report in terminalreporter.stats.get(status, []) if report.nodeid.startswith(TEST)]
        for status in ("passed", "failed", "error")
    }
    wrong = sorted({*outcomes["failed"], *outcomes["error"]})
    total = len({*outcomes["passed"], *wrong})
    if not total:
        return
    terminalreporter.write_line(f"corpus: {total - len(wrong)} of {total} named correctly")
    for nodeid in wrong:
        terminalreporter.write_line(f"corpus: not named correctly: {nodeid.removeprefix(TEST).rstrip(']')}")
