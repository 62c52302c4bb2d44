"""What a detector said of the images of a folder, as a layer of `gan.verify`."""

import pytest

from foundation.training.errors import UserError
from gan.verdicts import ask_detector, count_verdicts


@pytest.mark.parametrize(
    ('verdicts', 'total', 'state', 'detail'),
    [
        (['synthetic'] * 3, 3, 'held', '3 synthetic: odds, no proof'),
        (['synthetic', 'synthetic', 'real'], 3, 'absent', '2 synthetic, 1 real: odds, no proof'),
        (["don't know"] * 3, 1000, 'absent', "3 don't know (of 1,000 files, evenly spread): odds, no proof"),
        (['synthetic', 'synthetic', 'not read'], 3, 'unclear', '2 synthetic, 1 not read'),
    ],
)
def test_only_what_is_synthetic_throughout_holds(verdicts, total, state, detail):
    found = count_verdicts(verdicts, 3, total)
    assert (found.state, found.detail) == (state, detail)


@pytest.mark.slow
def test_a_detector_that_is_none_is_told(tmp_path):
    (tmp_path / 'image.png').write_bytes(b'')
    with pytest.raises(UserError, match='cannot be asked: '):
        ask_detector(tmp_path / 'none', [tmp_path / 'image.png'], 1)
