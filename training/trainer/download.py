"""`python -m training.trainer.download <repository> <revision>`: fetch a model's files, print their folder.

A process of its own, so that the job can give it a deadline that holds whatever the network does.
"""

import sys
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils import get_session

WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def download(repository: str, revision: str) -> Path:
    """The folder with config.json and the weights, in the local hub cache. Raises OSError or an HTTP error.

    One plain request comes first: the hub's client retries for half a minute when there is no network at all.
    """
    get_session().head(constants.ENDPOINT, timeout=10)
    config = hf_hub_download(repository, "config.json", revision=revision)
    for name in WEIGHTS:
        try:
            hf_hub_download(repository, name, revision=revision)
        except LocalEntryNotFoundError:
            raise  # the network failed; this is also an EntryNotFoundError
        except EntryNotFoundError:
            continue
        return Path(config).parent
    raise FileNotFoundError(f"{repository} at {revision} has none of {', '.join(WEIGHTS)}")


if __name__ == "__main__":
    try:
        print(download(sys.argv[1], sys.argv[2]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
