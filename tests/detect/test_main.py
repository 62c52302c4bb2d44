"""`detect.main` as a user starts it."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_it_starts_and_says_in_one_sentence_what_is_missing(tmp_path):
    command = [
        sys.executable, '-m', 'detect.main', '--config=configs/detect/detector.py:small',
        f'--workdir={tmp_path / "run"}', '--config.data.name=absent', f'--config.data.data_dir={tmp_path}',
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Error: there is no data set 'absent' in ")
    assert not (tmp_path / 'run').exists()
