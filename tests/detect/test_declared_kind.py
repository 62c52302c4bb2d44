"""What files declare of themselves, apart from what the detector thinks of their pixels."""

import json

import numpy as np
import pydicom
import pytest

from detect.predictions import find_declaration
from foundation.export.manifest import file_checksum, write_manifest
from foundation.signing.credentials import CredentialEmbedder, CredentialReader
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import reader_options
from tests.detect import drawn
from tests.foundation.export.manifests import MANIFEST
from tests.foundation.signing.made import TIME, keys, picture
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


def test_a_manifest_speaks_for_files_in_folders_of_folders(tmp_path):
    picture = drawn.save_picture(tmp_path / 'out' / 'images' / 'ward' / 'bed' / 'a.png', np.eye(8, dtype=np.uint8))
    write_manifest(tmp_path / 'out', MANIFEST)
    (incoming,) = find_incoming([picture], reader_options(2, 2**20), Refusals(skip=False))
    found = find_declaration(incoming, {picture: file_checksum(picture)})
    assert found is not None
    assert found['file'] == str(tmp_path / 'out' / 'manifest.json')


@pytest.mark.parametrize(
    ('source', 'is_altered', 'declared'),
    [
        ('trainedAlgorithmicMedia', False, True),
        ('compositeWithTrainedAlgorithmicMedia', False, True),
        ('digitalCapture', False, False),
        ('trainedAlgorithmicMedia', True, False),
    ],
)
def test_content_credentials_declare_what_a_model_drew(tmp_path, source, is_altered, declared):
    own = keys()
    embedder = CredentialEmbedder(own.credentials, own.authority, TIME, 'trainedAlgorithmicMedia')
    embedder._content = embedder._content.replace('trainedAlgorithmicMedia', source)  # as other programs write it
    content = bytearray(embedder.embed('image/png', picture('png')))
    content[content.index(b'IDAT') + 6] ^= is_altered
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    (incoming,) = find_incoming([path], reader_options(2, 2**20), Refusals(skip=False))
    expected = {'by': 'content credentials', 'file': 'a.png', 'source': source, 'signer': 'Hospital X'}
    assert find_declaration(incoming, {path: file_checksum(path)}) == (expected if declared else None)


def test_a_photograph_that_a_model_edited_is_declared(tmp_path):
    own, vocabulary = keys(), 'http://cv.iptc.org/newscodes/digitalsourcetype/'
    embedder = CredentialEmbedder(own.credentials, own.authority, TIME, 'trainedAlgorithmicMedia')
    content = json.loads(embedder._content)
    edited = 'compositeWithTrainedAlgorithmicMedia'
    content['assertions'][0]['data']['actions'] = [
        {'action': 'c2pa.created', 'digitalSourceType': f'{vocabulary}digitalCapture'},
        {'action': 'c2pa.edited', 'digitalSourceType': f'{vocabulary}{edited}'},
    ]
    embedder._content = json.dumps(content)
    path = tmp_path / 'a.png'
    path.write_bytes(embedder.embed('image/png', picture('png')))
    (incoming,) = find_incoming([path], reader_options(2, 2**20), Refusals(skip=False))
    found = find_declaration(incoming, {path: file_checksum(path)})
    assert found is not None
    assert found['source'] == edited
    assert f'digitalCapture, {edited}, signed' in CredentialReader(None).check(path, 'image/png').detail
