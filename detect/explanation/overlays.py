"""Maps in colour over the image they explain."""

import numpy as np
from jaxtyping import Float, UInt8

_OPACITY = 0.6  # of the hottest colour
# Nine colours, evenly spaced, of matplotlib's table `inferno` (Smith and van der Walt 2015, CC0).
_COLOURS = np.asarray(
    [
        [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84], [227, 89, 51], [249, 140, 10],
        [249, 201, 50], [252, 255, 164],
    ],
    np.float32,
)  # fmt: skip


def colour_map(heat: Float[np.ndarray, 'height width']) -> UInt8[np.ndarray, 'height width 3']:
    """The colour of each value from 0, black, to 1, pale yellow; lightness rises evenly."""
    places = np.clip(heat, 0, 1) * (len(_COLOURS) - 1)
    colours = [np.interp(places, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.rint(np.stack(colours, axis=-1)).astype(np.uint8)


def draw_heat(
    image: Float[np.ndarray, 'height width'], heat: Float[np.ndarray, 'height width']
) -> UInt8[np.ndarray, 'height width 3']:
    """A grey image tinted by its map; where the map is 0, the image stays as it is.

    Args:
      image: in [-1, 1].
      heat: from 0 to 1, on a scale of the whole data set; see `gradcam.scale_maps`.
    """
    grey = np.clip((image + 1) * 127.5, 0, 255)[..., None]
    share = _OPACITY * np.clip(heat, 0, 1)[..., None]
    return np.rint((1 - share) * grey + share * colour_map(heat)).astype(np.uint8)
