"""What files declare of themselves, apart from what the detector thinks of their pixels."""

import pydicom
import pytest

from foundation.export.manifest import write_manifest
from tests.detect import drawn
from tests.foundation.export.manifests import MANIFEST
from tests.input_pipeline.series import random_values, save_series


def _mark(path, value):
    dataset = pydicom.dcmread(path)
    dataset.SyntheticData = value
    dataset.save_as(path)


@pytest.mark.parametrize(('value', 'declared'), [('YES', True), ('NO', False)])
def test_a_header_may_declare_a_file_synthetic(answer, tmp_path, value, declared):
    files = save_series(tmp_path / 'in', random_values(2, 64, 64), [0.0, 1.0])
    _mark(files[1], value)
    (line,) = answer(tmp_path / 'in').values()
    told = line['declared_synthetic']
    assert (told is not None) == declared
    if declared:
        assert told == {
            'by': 'DICOM header', 'file': '01.dcm', 'element': 'SyntheticData (0008,001C) = YES',
        }  # fmt: skip
    assert line['verdict']  # the model's own opinion stands beside it


@pytest.fixture
def generated(tmp_path, pictures):
    """A folder as `gan.generate` writes it."""
    folder = tmp_path / 'generated'
    for number in range(2):
        drawn.save_picture(folder / 'images' / f'{number}.png', pictures[1][number])
    write_manifest(folder, MANIFEST)
    return folder


def test_a_manifest_declares_its_files_synthetic(answer, generated):
    for line in answer(generated / 'images').values():
        assert line['declared_synthetic'] == {
            'by': 'manifest',
            'file': str(generated / 'manifest.json'),
            'generator_sha256': MANIFEST['model']['weights_sha256'],
        }


def test_a_manifest_says_nothing_of_files_that_were_altered_or_added(answer, generated, pictures):
    drawn.save_picture(generated / 'images' / '0.png', pictures[0][3])
    drawn.save_picture(generated / 'images' / 'more.png', pictures[1][4])
    lines = answer(generated / 'images')
    assert {name: line['declared_synthetic'] is not None for name, line in lines.items()} == {
        '0': False,
        '1': True,
        'more': False,
    }


def test_an_altered_manifest_declares_nothing(answer, generated):
    text = (generated / 'manifest.json').read_text()
    (generated / 'manifest.json').write_text(text.replace('"CC0"', '"mine"'))
    assert not any(line['declared_synthetic'] for line in answer(generated / 'images').values())
