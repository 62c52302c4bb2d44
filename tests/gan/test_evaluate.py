"""`gan.evaluate` from the command line: one and two runs, any batch and devices, and what cannot work."""

import json
import os
from pathlib import Path

import pytest

from gan.evaluation.scoring import MEANINGS
from tests.gan.command import ROOT
from tests.gan.evaluation.drawn import write_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """A conditional run that was never trained."""
    return write_run(tmp_path_factory.mktemp('runs'), 'run', seed=0)


def _evaluate(commands, workdir: Path, *flags: str, **options):
    """Runs the command and returns what it printed."""
    arguments = (f'--workdir={workdir}', '--extractor=random', '--num=24', *flags)
    done = commands.run('gan.evaluate', *arguments, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _read(folder: Path):
    return json.loads((folder / 'report.json').read_text())


def test_batch_and_devices_change_no_score_and_a_run_equals_itself(commands, workdir, tmp_path):
    shown = _evaluate(commands, workdir, f'--against={workdir}', '--best', '--batch_size=5', devices=8)
    assert f'Numbers: {workdir / "evaluation" / "report.json"}' in shown
    assert f'A: {workdir}, B: {workdir}.' in shown
    assert 'gan.generate' not in shown
    report = _read(workdir / 'evaluation')
    measured = {name for name, score in report['differences'].items() if score['value'] is not None}
    assert measured >= {'kernel_distance', 'recall', 'swd', 'ms_ssim', 'authentic_percentage'}
    for name in measured:
        assert (report['differences'][name]['value'], report['differences'][name]['interval']) == (0, [0, 0])
    relative = Path(os.path.relpath(workdir, ROOT))
    shown = _evaluate(commands, relative, f'--out={tmp_path / "out"}', '--best', '--batch_size=16')
    assert f'-m gan.generate --workdir={relative} ' in shown
    one, other = report['runs'][0], _read(tmp_path / 'out')['runs'][0]
    assert (one['step'], one['checkpoint']) == (1, 'best')
    assert one['weights_sha256'] == other['weights_sha256']
    assert one['by_class'].keys() == other['by_class'].keys() != set()
    for name in MEANINGS:
        first, second = one['scores'][name], other['scores'][name]
        assert first['reason'] == second['reason']
        # Rounding differs with the size of batches, and a pixel may fall on the other side of a level.
        assert second['value'] is None or second['value'] == pytest.approx(first['value'], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (
            ['--num=8'],
            '-m backbones.main --config=configs/backbones/self_supervised.py --config.data.name=phantom_evaluated',
        ),
        (['--num=1'], 'flag --num=1'),
        (['--extractor=random', '--out={file}'], 'is a file; name a folder.'),
        (['--extractor=random', '--segmenter={file}'], 'compares masks, but a generator here draws none'),
    ],
)
def test_commands_that_cannot_work(commands, workdir, tmp_path, flags, expected):
    file = tmp_path / 'file'
    file.touch()
    done = commands.run('gan.evaluate', f'--workdir={workdir}', *(flag.format(file=file) for flag in flags))
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert expected in last
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ('module', 'flags', 'expected'),
    [
        ('gan.sweep', [], 'scales every latent vector to one length'),
        ('gan.sweep', ['--best', '--step=1'], '--best and --step name two checkpoints'),
        ('gan.project', ['--out={out}'], "architecture 'progressive' has no styles"),
        ('gan.encode', ['--out={out}'], "architecture 'progressive' has no encoder"),
    ],
)
def test_a_run_that_grows_has_no_settings_styles_or_codes(commands, workdir, tmp_path, module, flags, expected):
    flags = [flag.format(out=tmp_path / 'out') for flag in flags]
    done = commands.run(module, f'--workdir={workdir}', *flags)
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    assert expected in done.stdout.strip().splitlines()[-1]
    assert not (tmp_path / 'out').exists()
