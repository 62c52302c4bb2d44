"""From files that tell who the patients are to what is passed on: runs, reports, generated and mixed sets."""

import pytest

from tests.gan.command import SMALL
from tests.input_pipeline import planted

pytestmark = pytest.mark.slow
UNCHECKED = ('--nogate', '--release_anyway')


def _run(commands, module, *arguments):
    done = commands.run(module, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_no_name_of_a_patient_is_passed_on(commands, tmp_path):
    """Reports show pictures of patients, without their names."""
    files, data, runs = planted.pictures(tmp_path / f'{planted.NAME} files'), tmp_path / 'data', tmp_path / 'runs'
    run, out = runs / 'run', tmp_path / 'out'
    data_dir = f'--data_dir={data}'
    _run(commands, 'input_pipeline.prepare', '--source=image_folder', f'--path={files}', '--name=set', data_dir,
         r'--patient_pattern=/(Mustermann[^/]*)/', '--on_error=skip', '--validation_fraction=0.3',
         '--test_fraction=0.3', '--stratify')  # fmt: skip
    _run(
        commands,
        'gan.main',
        *SMALL,
        f'--workdir={run}',
        '--config.data.name=set',
        f'--config.data.data_dir={data}',
    )
    for kind in ('png', 'tfds'):
        _run(commands, 'gan.generate', f'--workdir={run}', f'--out={out / kind}', '--num=8', f'--format={kind}',
             *UNCHECKED)  # fmt: skip
    _run(commands, 'gan.evaluate', f'--workdir={run}', '--extractor=random')
    _run(commands, 'gan.report', f'--workdir={run}', f'--out={runs / "report.html"}')
    _run(commands, 'input_pipeline.derive', '--source=set', '--name=derived', '--train_fraction=0.5', data_dir)
    fakes = [f'own={out / "png"}', f'other={files}@train']
    _run(commands, 'detect.prepare', '--name=mixed', '--real', 'set', '--fakes', *fakes, data_dir,
         '--resolution=8', '--divide=train,validation,test', '--on_error=skip')  # fmt: skip
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob('*') if path.is_file()]
    assert len(written) > 60
    for folder in (data, runs, out):
        assert planted.find_leaks(folder) == []
    private = sorted(str(path.relative_to(data)) for path in data.rglob(planted.PRIVATE))
    assert private == [f'mixed/1.0.0/{planted.PRIVATE}', f'set/1.0.0/{planted.PRIVATE}']
    assert not list(out.rglob(planted.PRIVATE))
