"""How arrays are cut over devices, checked on eight of them in a process of their own."""

import os
import subprocess
import sys
from unittest import mock

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from foundation.training import parallel
from foundation.training.errors import UserError

ON_EIGHT_DEVICES = """
import jax, numpy as np
from foundation.training import parallel

mesh = parallel.create_mesh()
assert mesh.size == 8 and mesh.axis_names == ('data',)
whole = np.arange(2 * 16 * 3, dtype=np.float32).reshape(2, 16, 3)
for create in (parallel.from_global, parallel.from_local_rows):
    cut = create(whole, parallel.batch_sharded(mesh))
    np.testing.assert_array_equal(cut, whole)
    for number, shard in enumerate(cut.addressable_shards):
        # Both steps of the call, and two rows of the batch, on each device in order.
        assert shard.device == jax.devices()[number]
        np.testing.assert_array_equal(shard.data, whole[:, 2 * number : 2 * number + 2])
copied = parallel.from_global(whole, parallel.replicated(mesh))
assert copied.is_fully_replicated
assert all(np.array_equal(shard.data, whole) for shard in copied.addressable_shards)
print('checked')
"""


def test_arrays_are_cut_along_the_batch_in_order():
    flags = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, '-c', ON_EIGHT_DEVICES],
        env={**os.environ, **flags, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == 'checked\n', done.stderr


MESH_OF_EIGHT = mock.Mock(spec=Mesh, size=8)


@pytest.mark.parametrize('batch_size', [8, 64])
def test_batches_that_devices_share_evenly(batch_size):
    parallel.check_batch_size(MESH_OF_EIGHT, batch_size, 'batch_size')


@pytest.mark.parametrize('batch_size', [4, 12])
def test_batches_that_they_do_not(batch_size):
    with pytest.raises(UserError, match=f'batch_size is {batch_size}, which 8 devices .* multiple of 8'):
        parallel.check_batch_size(MESH_OF_EIGHT, batch_size, 'batch_size')


def test_abstract_keeps_shapes_and_types():
    mesh = Mesh(np.asarray(jax.devices()[:1]), (parallel.AXIS,))
    tree = {'a': np.zeros((2, 3), np.int32), 'b': [np.zeros(4, np.float16)]}
    shapes = parallel.abstract(tree, parallel.replicated(mesh))
    assert (shapes['a'].shape, shapes['a'].dtype) == ((2, 3), np.int32)
    assert (shapes['b'][0].shape, shapes['b'][0].dtype) == ((4,), np.float16)
    assert shapes['a'].sharding == parallel.replicated(mesh)


@pytest.mark.parametrize('flag', [True, False])
def test_one_process_asks_only_itself(flag):
    assert parallel.any_process(flag) is flag
    assert parallel.is_first_process()
