"""What a protocol may hand the data plane as one instance, beside the guide's {"data": "<base64>"}.

`field` names it in errors.
"""

from typing import NamedTuple

import numpy as np


class ImageFile(NamedTuple):
    """An image file's bytes, as they were sent."""

    data: bytes
    field: str


class Pixels(NamedTuple):
    """An image that is decoded already: (height, width, 3) uint8, RGB."""

    array: np.ndarray
    field: str


class NetworkInput(NamedTuple):
    """What the network itself takes, preprocessed by the caller: (3, height, width) float32."""

    array: np.ndarray
    field: str
