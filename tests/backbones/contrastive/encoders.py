"""A tiny encoder on drawn phantoms."""

from pathlib import Path

from ml_collections import ConfigDict

from configs.backbones import self_supervised

BATCH, IMAGES = 16, 64
FIELDS = {
    'network.width': 2,
    'resolution': 16,
    'projection.hidden': 8,
    'projection.projected': 4,
    'data.name': 'phantom_small',
    'data.phantom.size': 16,
    'data.phantom.count': 120,
    'schedule.batch_size': BATCH,
    'schedule.images': IMAGES,
    'watch.images': IMAGES // 2,
    'run.log_images': BATCH,
    'run.checkpoint_images': BATCH,
    'run.checkpoints_to_keep': 100,
}


def create_config(data_dir: Path, **changes) -> ConfigDict:
    """Its config; dots of changed fields are double underscores."""
    config = self_supervised.get_config().lock()
    named = {name.replace('__', '.'): value for name, value in changes.items()}
    config.update_from_flattened_dict(FIELDS | {'data.data_dir': str(data_dir)} | named)
    return config
