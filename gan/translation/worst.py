"""The pairs whose translations are most wrong, for people to look at."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

from backbones.grids import draw_grid
from gan.translation.measures import Images

COLUMNS = ('source', 'translated', 'truth', 'error: white is a quarter of the window')
_ROWS = 8
_WHITE = 0.5  # difference of images in [-1, 1] that is shown white


class WorstPairs:
    """Keeps the pairs of the largest errors of those that it is shown."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, np.ndarray]] = []
        self._shown = 0

    def add(
        self,
        errors: Float[np.ndarray, ' count'],
        source: Float32[np.ndarray, 'count height width own'],
        drawn: Images,
        truth: Images,
    ) -> None:
        """Some more pairs, with the error of each; of images of several channels their mean is kept."""
        grey = [images.mean(axis=-1, keepdims=True) for images in (source, drawn, truth)]
        difference = np.abs(grey[1] - grey[2])
        rows = np.stack([*grey, 2 * np.minimum(difference / _WHITE, 1) - 1], axis=1)
        numbers = range(self._shown, self._shown + len(errors))
        self._rows += zip(errors.tolist(), numbers, rows, strict=True)
        self._rows = sorted(self._rows, key=lambda row: (-row[0], row[1]))[:_ROWS]
        self._shown += len(errors)

    def draw(self) -> UInt8[np.ndarray, 'height width 3']:
        """A row a pair, the worst first: the COLUMNS."""
        return draw_grid(np.concatenate([rows for _, _, rows in self._rows]), len(COLUMNS), 1, 0)
