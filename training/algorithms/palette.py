"""Colours that tell classes apart: in previews, overlays, legends and charts. Torch-free, Django-free."""

import colorsys
from functools import cache

Colour = tuple[int, int, int]

# Okabe and Ito, "Color Universal Design" (2008): distinct with every common colour vision. Black is left out:
# it would look like a hole in an image.
OKABE_ITO: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
GOLDEN = 0.618033988749895  # steps of this share of the circle never come close to an earlier hue
SHADES = ((0.42, 0.85), (0.68, 0.60), (0.55, 0.95))  # (lightness, saturation), in turn


@cache
def palette(n: int) -> tuple[Colour, ...]:
    """`n` different RGB colours, 0..255. The first ones are the same for every `n`."""
    more = [_generated(index) for index in range(max(0, n - len(OKABE_ITO)))]
    return (*OKABE_ITO, *more)[:n]


def _generated(index: int) -> Colour:
    lightness, saturation = SHADES[index % len(SHADES)]
    red, green, blue = colorsys.hls_to_rgb((index * GOLDEN) % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def as_hex(colour: Colour) -> str:
    """(230, 159, 0) -> "#e69f00", for a page."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def ink(colour: Colour) -> Colour:
    """Black or white, whichever is read better on `colour` (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
