"""Post every test image of a classification zip to a stage URL and compare with the accuracy that the job reported.

    python -m benchmarks.served_accuracy --zip fashion.zip --stage-url http://127.0.0.1:8000/stage/<id>/default \\
        --key <key> --reported 0.8731

Exits 1 when the two differ: the figure on the job's page must be what a caller gets.
"""

import argparse
import base64
import json
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath


def test_images(path: str) -> Iterator[tuple[str, bytes]]:
    """(label, file content) of every image below `test/<label>/`, whatever folder is around it."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            if len(parts) >= 3 and parts[-3] == "test" and not name.endswith("/"):
                yield parts[-2], archive.read(name)


def predict(stage_url: str, key: str, content: bytes) -> str:
    """The label with the highest score."""
    body = json.dumps({"instances": [{"data": base64.b64encode(content).decode()}]}).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{stage_url.rstrip('/')}/inference", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(json.load(response)[0]["label"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", required=True)
    parser.add_argument("--stage-url", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--reported", type=float, required=True, help="test_metrics.accuracy of the training")
    parser.add_argument("--callers", type=int, default=4)
    options = parser.parse_args()
    labels, contents = zip(*test_images(options.zip), strict=True)
    with ThreadPoolExecutor(options.callers) as pool:
        answers = list(pool.map(lambda content: predict(options.stage_url, options.key, content), contents))
    correct = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    served = correct / len(labels)
    print(f"{len(labels)} test images, {correct} right: served accuracy {served:.6f}, reported {options.reported:.6f}")
    return 0 if abs(served - options.reported) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
