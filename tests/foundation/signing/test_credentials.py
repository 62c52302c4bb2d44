"""Content credentials: pixels stay, the reader of the library trusts them, and no changed byte goes unseen."""

import io

import c2pa
import numpy as np
import pytest

from foundation.signing.credentials import CredentialEmbedder, CredentialReader
from foundation.signing.files import FileSigner
from foundation.signing.keys import encode_certificate
from foundation.software import software_version
from foundation.training.errors import UserError
from tests.foundation.signing.made import TIME, dicom, keys, picture, read_pixels

TYPES = {
    'png': 'image/png',
    'png16': 'image/png',
    'colour': 'image/png',
    'palette': 'image/png',
    'tiff16': 'image/tiff',
    'jpeg': 'image/jpeg',
}


def _embed(kind, source='trainedAlgorithmicMedia'):
    embedder = CredentialEmbedder(keys().credentials, keys().authority, TIME, source)
    return embedder.embed(TYPES[kind], picture(kind))


def _check(tmp_path, content, kind='png', authority='Hospital X'):
    path = tmp_path / 'picture'
    path.write_bytes(content)
    return CredentialReader(keys(authority).authority if authority else None).check(path, TYPES[kind])


@pytest.mark.parametrize('kind', TYPES)
def test_pixels_stay_and_the_reader_of_the_library_trusts_the_signer(kind):
    content = _embed(kind)
    np.testing.assert_array_equal(read_pixels(kind, content), read_pixels(kind, picture(kind)))
    trust = {
        'verify': {'verify_trust': True},
        'trust': {'trust_anchors': encode_certificate(keys().authority).decode()},
    }
    with c2pa.Reader(TYPES[kind], io.BytesIO(content), context=c2pa.Context.from_dict(trust)) as reader:
        assert reader.get_validation_state() == 'Trusted'
        active = reader.get_active_manifest()
    (agent,) = active['claim_generator_info']
    assert (agent['name'], agent['version']) == ('enhanced-gan', software_version())
    (action,) = active['assertions'][0]['data']['actions']
    assert action['action'] == 'c2pa.created'
    assert action['digitalSourceType'] == 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'
    assert action['when'] == f'{TIME:%Y-%m-%dT%H:%M:%SZ}'
    assert active['signature_info']['issuer'] == 'Hospital X'


def test_text_in_a_picture_stays():
    assert b'SYNTHETIC image, not of a person' in _embed('png16')


@pytest.mark.parametrize('kind', TYPES)
def test_it_matters_who_signed(tmp_path, kind):
    content = _embed(kind)
    assert _check(tmp_path, content, kind).detail == "trainedAlgorithmicMedia, signed by 'Hospital X'"
    assert _check(tmp_path, content, kind, None).detail.endswith('which no authority was named for')
    finding = _check(tmp_path, content, kind, 'Clinic Y')
    assert (finding.state, 'was not certified' in finding.detail) == ('broken', True)


def test_translated_pictures_say_that_they_were_computed_from_others(tmp_path):
    content = _embed('png', 'compositeWithTrainedAlgorithmicMedia')
    assert _check(tmp_path, content).detail.startswith('compositeWithTrainedAlgorithmicMedia, signed by')


@pytest.mark.parametrize('kind', ['png16', 'tiff16', 'jpeg'])
def test_a_changed_byte_of_the_picture_is_noticed(tmp_path, kind):
    """All bytes of it; the credentials themselves hold some that pad, and mean nothing."""
    before, content = picture(kind), _embed(kind)
    kept = [place for place in range(len(before)) if before[place : place + 8] in content]
    places = {content.index(before[place : place + 8]) for place in kept[::9]}
    assert len(places) > 10
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        assert _check(tmp_path, bytes(altered), kind).state == 'broken', place


def test_credentials_of_another_picture_are_noticed(tmp_path):
    signed, other = _embed('png'), picture('png16')
    start = signed.index(b'caBX') - 4
    chunk = signed[start : start + 12 + int.from_bytes(signed[start : start + 4], 'big')]
    moved = other[:33] + chunk + other[33:]
    finding = _check(tmp_path, moved)
    assert (finding.state, 'dataHash.mismatch' in finding.detail) == ('broken', True)


def test_pictures_without_and_damaged_ones_are_told(tmp_path):
    assert _check(tmp_path, picture('png')).state == 'absent'
    assert _check(tmp_path, b'no picture').state == 'unclear'
    assert _check(tmp_path, _embed('png')[:-40]).state == 'broken'
    assert _check(tmp_path, b'?' + _embed('png')[1:]).state == 'broken'
    assert CredentialReader(None).check(tmp_path / 'nowhere', 'image/png').state == 'broken'


@pytest.mark.parametrize('kind', TYPES)
def test_credentials_of_others_are_not_replaced(kind):
    embedder = CredentialEmbedder(
        keys('Hospital Y').credentials, keys('Hospital Y').authority, TIME, 'trainedAlgorithmicMedia'
    )
    with pytest.raises(UserError, match='holds content credentials already'):
        embedder.embed(TYPES[kind], _embed(kind))


def test_what_cannot_hold_credentials_is_refused():
    signer = FileSigner(keys(), TIME, 'trainedAlgorithmicMedia')
    with pytest.raises(UserError, match=r'x/1.png: it cannot hold content credentials \('):
        signer.sign('x/1.png', b'no picture')


def test_files_are_signed_by_their_ending():
    signer, none = FileSigner(keys(), TIME, 'trainedAlgorithmicMedia'), FileSigner(keys(), TIME, None)
    assert b'c2pa' in signer.sign('images/1.PNG', picture('png'))
    assert b'c2pa' in signer.sign('.jpeg', picture('jpeg'))
    assert none.sign('.png', picture('png')) == picture('png')
    assert len(none.sign('.dcm', dicom())) > len(dicom())
    assert signer.sign('masks/1.nii.gz', b'volume') == b'volume'
