"""How commands end that make a folder: in one sentence, also where the system refuses to write."""

import errno
import os
import resource

import pytest

from gan import keys
from input_pipeline import command


@pytest.fixture
def small_files():
    """No file may grow beyond 16 bytes: the system refuses as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_in_one_sentence_and_nothing_is_left(tmp_path, capsys, small_files):
    assert keys.main([f'--out={tmp_path / "keys"}', '--name=Hospital X']) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        f'gan.keys: {tmp_path / "keys"} cannot be written (File too large); nothing was kept; free some'
    )
    assert told.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_the_system_refuses_is_no_fault_of_the_program(tmp_path, capsys, code):
    def work():
        raise OSError(code, os.strerror(code), '/data/DOE^JANE.dcm')

    assert command.run('prepare', work, tmp_path / 'out') == 1
    told = capsys.readouterr().err
    assert told.startswith(
        f'prepare: {tmp_path / "out"} cannot be written ({os.strerror(code)}); nothing was kept'
    )
    assert ('free some space' in told) == (code in (errno.ENOSPC, errno.EDQUOT))
    assert 'JANE' not in told


def test_a_file_that_is_missed_is_a_fault_of_the_program_and_its_text_stays_out_of_the_log(tmp_path, capsys):
    def work():
        raise FileNotFoundError(errno.ENOENT, 'No such file', patient)

    patient = '/data/DOE^JANE.dcm'

    assert command.run('prepare', work, tmp_path / 'out') == 1
    told = capsys.readouterr().err
    assert 'prepare: a fault of this program (FileNotFoundError), at the place above.' in told
    assert 'JANE' not in told
