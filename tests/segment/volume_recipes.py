"""The config of a tiny network of volumes, with nothing left to the data."""

from typing import Any

from ml_collections import ConfigDict

from configs.segment import unet

CHANGES: dict[str, Any] = {
    'dimensions': 3,
    'resolution': 8,
    'patch': 8,
    'channels': 1,
    'mask_classes': 2,
    'data.fit': 'native',
    'data.window': 'auto',
    'volume.slices': 4,
    'volume.distance': -1.0,
    'volume.strides': (1, 2),
    'volume.kernels': (1, 3, 3),
    'network.width': 4,
    'network.max_width': 8,
    'network.depth': 2,
    'optimizer.learning_rate': 1e-2,
    'schedule.batch_size': 8,
}


def create_volume_config(changes: dict[str, Any] | None = None) -> ConfigDict:
    """The config with these changes, by dotted name."""
    config = unet.get_config('small').lock()
    config.update_from_flattened_dict(CHANGES | (changes or {}))
    return config
