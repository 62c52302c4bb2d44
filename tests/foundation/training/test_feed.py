"""Both feeds bring the same batches; the one on the host reads one call ahead and no further."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training.feed import device_feed, host_feed, place_on_devices
from tests.foundation.training import toy

BATCH, EXAMPLES = 4, 10
IMAGES = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 2, 2, 1), np.uint8)
LABELS = np.arange(EXAMPLES, dtype=np.int32)


def _select(position, count):
    numbers = np.arange(position, position + count)
    return {'index': (numbers * 3 % EXAMPLES).astype(np.int32), 'flip': numbers % 2 == 0}


def _unpack(rows):
    flip = rows['flip'][:, None, None, None]
    images = jnp.where(flip, rows['image'][:, :, ::-1], rows['image'])
    return {'image': images.astype(np.float32) / 255, 'label': rows['label']}


def _from_devices(position, sizes):
    arrays = place_on_devices({'image': IMAGES, 'label': LABELS}, toy.mesh())
    return device_feed(
        arrays, _select, _unpack, toy.mesh(), position=position, batch_size=BATCH, sizes=iter(sizes)
    )


def _rows(position):
    """Independent of the feeds: batches by the definition of the selection."""
    while True:
        numbers = [position + i for i in range(BATCH)]
        images = [IMAGES[n * 3 % EXAMPLES][:, :: -1 if n % 2 == 0 else 1] for n in numbers]
        labels = [LABELS[n * 3 % EXAMPLES] for n in numbers]
        yield {'image': np.asarray(images, np.float32) / np.float32(255), 'label': np.asarray(labels)}
        position += BATCH


def _from_host(position, sizes):
    return host_feed(_rows(position), toy.mesh(), sizes=iter(sizes))


@pytest.mark.parametrize('feed', [_from_devices, _from_host])
@pytest.mark.parametrize('position', [0, 8, 1_000_000])
def test_batches_follow_the_selection(feed, position):
    expected = _rows(position)
    for size, batches in zip([1, 3, 2, 1], feed(position, [1, 3, 2, 1]), strict=True):
        assert batches['image'].shape == (size, BATCH, 2, 2, 1)
        for step in range(size):
            rows = next(expected)
            np.testing.assert_allclose(batches['image'][step], rows['image'], rtol=1e-6)
            np.testing.assert_array_equal(batches['label'][step], rows['label'])


@pytest.mark.parametrize('feed', [_from_devices, _from_host])
def test_the_cut_into_calls_does_not_change_the_batches(feed):
    singly = [np.asarray(batches['image']) for batches in feed(4, [1] * 6)]
    together = [np.asarray(batches['image']) for batches in feed(4, [4, 2])]
    np.testing.assert_array_equal(np.concatenate(singly), np.concatenate(together))


@pytest.mark.parametrize('feed', [_from_devices, _from_host])
def test_no_calls_no_batches(feed):
    assert list(feed(0, [])) == []


def test_the_host_reads_one_call_ahead_and_no_further():
    read = []

    def batches():
        for number, row in enumerate(_rows(0)):
            read.append(number)
            yield row

    feed = host_feed(batches(), toy.mesh(), sizes=iter([2, 2, 2, 2]))
    next(feed)
    feed.close()
    assert len(read) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('feed')]


def test_an_error_of_the_reader_reaches_the_trainer():
    def batches():
        yield next(_rows(0))
        raise OSError('the disk is gone')

    feed = host_feed(batches(), toy.mesh(), sizes=iter([1, 1, 1]))
    next(feed)
    with pytest.raises(OSError, match='the disk is gone'):
        next(feed)
