"""The detector as a layer of `gan.verify`: asked by its own command, and the same verdicts."""

import pytest

from gan import verify
from tests.detect import drawn


@pytest.mark.slow
def test_the_detector_has_a_row(detector_workdir, answer, pictures, tmp_path, capsys):
    folder = tmp_path / 'release'
    for number, picture in enumerate((*pictures[1][:2], pictures[0][0])):
        drawn.save_picture(folder / f'{number}.png', picture)
    status = verify.main([str(folder), f'--detector={detector_workdir}', '--require=detector'])
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith('  detector '))
    verdicts = [line['verdict'] for line in answer(folder).values()]
    assert all(f'{verdicts.count(verdict)} {verdict}' in row for verdict in set(verdicts))
    assert (status, 'absent' in row) == (1, True)
