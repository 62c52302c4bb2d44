"""A decoder in a process of its own: the same values, and a file that ends it ends nothing else."""

import numpy as np
import pydicom
import pytest

from input_pipeline.readers import isolated

SYNTAX = '1.2.840.10008.1.2.4.70'  # lossless JPEG, first-order prediction


@pytest.fixture
def lossless(medical_data):
    return medical_data / 'dicom' / 'SC_rgb_jpeg_gdcm.dcm'


def test_the_values_are_those_of_the_file(lossless):
    (frame,) = isolated.decode_apart(lossless, SYNTAX)
    np.testing.assert_array_equal(frame, pydicom.dcmread(lossless).pixel_array)
    frame[0] = 0  # its own


def test_a_file_that_cannot_be_decoded_says_so(lossless, tmp_path):
    content = lossless.read_bytes()
    (tmp_path / 'half.dcm').write_bytes(content[: len(content) // 2])
    for name in ('half.dcm', 'missing.dcm'):
        with pytest.raises(ValueError, match=r'Error'):
            isolated.decode_apart(tmp_path / name, SYNTAX)
    assert isolated.decode_apart(lossless, SYNTAX)


def test_a_file_that_ends_the_process_is_an_error_and_the_next_is_decoded(lossless, monkeypatch):
    ask = isolated._ask

    def end(child, request):
        child.kill()
        child.wait()
        return ask(child, request)

    with monkeypatch.context() as patch:
        patch.setattr(isolated, '_ask', end)
        with pytest.raises(ValueError, match='the decoder ended'):
            isolated.decode_apart(lossless, SYNTAX)
    assert isolated.decode_apart(lossless, SYNTAX)


def test_a_decoder_that_takes_too_long_is_ended(lossless, monkeypatch):
    monkeypatch.setattr(isolated, '_SECONDS', 0.0)
    isolated._stop()
    with pytest.raises(ValueError, match='took too long'):
        isolated.decode_apart(lossless, SYNTAX)
