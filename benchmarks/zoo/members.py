"""Who takes part, and how wide networks are: parameters of one order, which two CPU cores train."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gan.families import FAMILIES
from gan.families.methods import METHODS, Method

BATCH_SIZE = 32
_STRIDED_DISCRIMINATOR: Mapping[str, Any] = {
    'discriminator.layers': 3,
    'discriminator.first_width': 32,
    'discriminator.kernel_size': 4,
}
_STRIDED: Mapping[str, Any] = {
    **_STRIDED_DISCRIMINATOR,
    'generator.last_width': 24,
    'generator.max_width': 96,
    'generator.kernel_size': 4,
}
_GROWING: Mapping[str, Any] = {
    'generator.latent_size': 64,
    'generator.fmap_base': 1024,
    'generator.fmap_max': 64,
    'discriminator.fmap_base': 1024,
    'discriminator.fmap_max': 64,
}
_STYLES: Mapping[str, Any] = {**_GROWING, 'generator.style_size': 64}
# By architecture: fields of the config that differ.
WIDTHS: Mapping[str, Mapping[str, Any]] = {
    'perceptron': {'generator.width': 256, 'discriminator.width': 64},
    'dcgan': _STRIDED,
    'residual': {
        'generator.last_width': 16,
        'generator.max_width': 96,
        'discriminator.first_width': 24,
        'discriminator.max_width': 96,
    },
    'progressive': _GROWING,
    'infogan': _STRIDED,
    'bigan': {
        **_STRIDED,
        'discriminator.joint_width': 96,
        'encoder.layers': 3,
        'encoder.first_width': 24,
        'encoder.kernel_size': 4,
    },
    'aae': {'generator.width': 256, 'discriminator.width': 256, 'encoder.width': 256},
    'lapgan': {'generator.dense_width': 256, 'generator.width': 48, 'discriminator.width': 48},
    'gran': {
        **_STRIDED_DISCRIMINATOR,
        'generator.last_width': 16,
        'generator.max_width': 64,
        'generator.kernel_size': 4,
        'generator.hidden_size': 64,
    },
    'biggan': {
        'generator.latent_size': 80,
        'generator.last_width': 16,
        'generator.max_width': 96,
        'discriminator.first_width': 24,
        'discriminator.max_width': 96,
    },
    'stylegan': _STYLES,
    'stylegan2': _STYLES,
    'r3gan': {
        'generator.last_width': 16,
        'generator.max_width': 128,
        'generator.blocks': 1,
        'discriminator.first_width': 16,
        'discriminator.max_width': 128,
        'discriminator.blocks': 1,
        'loss.penalty_weight': 0.05,  # the paper's at 32x32
    },
}


def name_of(method: Method) -> str:
    """What a method is called in flags and folders."""
    condition = '_conditional' if method.fields.get('conditional') else ''
    return re.sub(r'\W', '_', method.config) + condition


def _list_members() -> dict[str, Method]:
    members = {}
    for method in METHODS:
        if FAMILIES[method.create_config().architecture].translates:  # it has a data set of its own kind
            continue
        members[name_of(method)] = method
        if method.config == 'dcgan':  # beside the conditional perceptrons
            both = dataclasses.replace(method, title='conditional DCGAN', fields={'conditional': True})
            members[name_of(both)] = both
    return members


MEMBERS = _list_members()


def create_config(method: Method, resolution: int, data: ConfigDict) -> ConfigDict:
    """A member's own recipe with narrow networks, equal batches and a running mean for short training.

    Args:
      method: the member.
      resolution: of the final images.
      data: fields of `config.data`.
    """
    config = method.create_config()
    config.update_from_flattened_dict(WIDTHS[config.architecture])
    config.resolution = resolution
    config.data.update(data)
    with config.ignore_type():
        config.schedule.batch_size = {f'at_{size}': BATCH_SIZE for size in (4, 8, 16, 32) if size <= resolution}
    config.average.half_life, config.average.ramp = 2_500.0, 0.05
    config.samples.rows, config.samples.columns = 4, 6
    config.run.checkpoints_to_keep = 1
    return config
