"""The sheet of all grids is small enough, whatever is drawn."""

import cv2
import numpy as np

from benchmarks.accelerator import sheet
from benchmarks.accelerator.sheet import Strip, draw_sheet


def test_grids_are_stacked_and_equally_wide(tmp_path):
    strips = [Strip('small', np.full((16, 64, 3), 90, np.uint8)), Strip('large', np.zeros((64, 128, 3), np.uint8))]
    draw_sheet(strips, tmp_path / 'grids.png')
    picture = cv2.imread(str(tmp_path / 'grids.png'))
    assert picture.shape == (40 + 512 + 40 + 1024, 2048, 3)
    assert (picture[40:552] == 90).all()
    assert [path.name for path in tmp_path.iterdir()] == ['grids.png']


def test_what_does_not_shrink_as_a_file_is_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr(sheet, 'LARGEST', 200_000)
    noise = np.random.default_rng(0).integers(0, 256, (256, 2048, 3), np.uint8)
    draw_sheet([Strip('noise', noise)], tmp_path / 'grids.png')
    assert 50_000 < (tmp_path / 'grids.png').stat().st_size <= 200_000
