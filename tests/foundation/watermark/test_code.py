"""The payload's code: words come back, also where many signs are wrong, and the expected error is the true one."""

import numpy as np
import pytest

from foundation.watermark.code import LENGTH, decode, encode

PAYLOADS = (0, 1, 0x80, 0xA5C31F07, 2**32 - 1)


@pytest.mark.parametrize('payload', PAYLOADS)
def test_it_comes_back_with_as_many_wrong_signs_as_the_code_corrects(payload):
    signs = encode(payload)
    assert set(np.abs(signs)) == {1.0}
    random = np.random.default_rng(0)
    for word in range(4):  # of 128 signs, words differ in 64: 31 wrong ones are corrected, whichever they are
        signs[128 * word + random.choice(128, 31, replace=False)] *= -1
    found = decode(4 * signs)
    assert found.payload == payload
    assert found.bit_error < 1e-3


def test_words_differ_in_half_of_their_signs_or_in_all():
    words = np.stack([encode(payload)[:128] for payload in range(256)])
    products = words @ words.T
    np.fill_diagonal(products, 0)
    assert set(np.unique(products)) == {-128.0, 0.0}


def test_the_expected_share_of_wrong_bits_is_that_of_gaussian_noise():
    random, scale, wrong, expected = np.random.default_rng(1), 0.22, 0, 0.0
    for _ in range(300):
        payload = int(random.integers(2**32))
        received = scale * encode(payload) + random.normal(size=LENGTH)
        found = decode(2 * scale * received)
        wrong += (found.payload ^ payload).bit_count()
        expected += found.bit_error * 32
    assert wrong > 500
    assert expected == pytest.approx(wrong, rel=0.15)


def test_nothing_is_read_from_nothing():
    assert decode(np.zeros(LENGTH)).bit_error == pytest.approx(0.5)


@pytest.mark.parametrize('payload', [-1, 2**32])
def test_a_payload_of_more_bits_is_refused(payload):
    with pytest.raises(ValueError, match='32 bits'):
        encode(payload)
