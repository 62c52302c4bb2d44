"""The U-Net: our training step and prediction, the same in PyTorch, and MONAI's network of the nearest size."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Float32, Int64
from ml_collections import ConfigDict
from torch import Tensor, nn

from benchmarks.peers.copying import convert_unet, load
from benchmarks.peers.forms import Form
from benchmarks.peers.gans import count_parameters
from benchmarks.peers.networks.unet import TorchUNet
from benchmarks.peers.supervised import TorchSupervisedTraining, Trainer
from benchmarks.peers.timing import PeerRun
from benchmarks.unets import create_unet_config
from segment.recipe import create_recipe
from segment.step import make_predict, make_train_step

Create = Callable[[ConfigDict], nn.Module]


def configure(resolution: int, batch: int, dtype: str) -> ConfigDict:
    """The default config for images of this size and one foreground class, without augmentation."""
    config = create_unet_config('default', resolution)
    config.compute_dtype, config.schedule.batch_size = dtype, batch
    config.augment.scale = 0.0
    return config


def draw_batch(
    resolution: int, batch: int
) -> tuple[Float32[np.ndarray, 'batch height width 1'], Int64[np.ndarray, 'batch height width']]:
    """Noise, and masks with a tenth of foreground."""
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (batch, resolution, resolution, 1)).astype(np.float32)
    return images, (generator.uniform(size=images.shape[:3]) < 0.1).astype(np.int64)


def create_ours_training(resolution: int, batch: int, dtype: str) -> PeerRun:
    """One update of the default network."""
    recipe = create_recipe(configure(resolution, batch, dtype))
    step = jax.jit(make_train_step(recipe), donate_argnums=0)
    state, key = recipe.create_state(jax.random.key(0)), jax.random.key(1)
    images, ids = draw_batch(resolution, batch)
    masks = np.where(ids[..., None] == 1, 1.0, -1.0)
    data = {'image': jnp.asarray(np.concatenate([images, masks], axis=-1), jnp.float32)}
    parameters = count_parameters(state.network.params)

    def run() -> None:
        nonlocal state
        state, _ = step(state, data, key, {})
        jax.block_until_ready(state)

    return PeerRun(run, 'jit', parameters)


def create_ours_prediction(resolution: int, batch: int, dtype: str) -> PeerRun:
    """Probabilities of each class at each pixel."""
    recipe = create_recipe(configure(resolution, batch, dtype))
    variables = recipe.create_state(jax.random.key(0)).network.variables
    predict = jax.jit(make_predict(recipe.network))
    images = jnp.asarray(draw_batch(resolution, batch)[0])

    def run() -> None:
        jax.block_until_ready(predict(variables, images))

    return PeerRun(run, 'jit', count_parameters(variables['params']))


def create_unet(config: ConfigDict) -> TorchUNet:
    """Our network in PyTorch, with the same parameters."""
    fields, state = config.network, create_recipe(config).create_state(jax.random.key(0))
    network = TorchUNet(config.channels, config.mask_classes + 1, fields.width, fields.max_width, fields.depth)
    return load(network, convert_unet(state.network.variables))


def create_dynunet(config: ConfigDict) -> nn.Module:
    """MONAI's network after nnU-Net, with the widths, depth and deep supervision of ours.

    It halves within the first convolution of a block, where ours has one more convolution of 2x2 pixels.
    """
    # Here, so that other pairs need no MONAI.
    from monai.networks.nets import DynUNet

    fields = config.network
    filters = [min(fields.width << level, fields.max_width) for level in range(fields.depth + 1)]
    network = DynUNet(
        spatial_dims=2,
        in_channels=config.channels,
        out_channels=config.mask_classes + 1,
        kernel_size=[3] * (fields.depth + 1),
        strides=[1] + [2] * fields.depth,
        upsample_kernel_size=[2] * fields.depth,
        filters=filters,
        deep_supervision=True,
        deep_supr_num=fields.depth - 2,
    )
    return _Monai(network)


class _Monai(nn.Module):
    """DynUNet, whose lower logits come enlarged by repeated pixels, with each at its own resolution again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        logits = self.network(images)
        if not self.training:
            return [logits]
        return [own[..., :: 2**level, :: 2**level] for level, own in enumerate(logits.unbind(dim=1))]


def create_peer_training(create: Create, resolution: int, batch: int, form: Form) -> PeerRun:
    """One update of a network in PyTorch."""
    config = configure(resolution, batch, form.dtype)
    trainer = Trainer(create(config), create_training(config), form)
    images, ids = _place(resolution, batch, form)

    def run() -> None:
        trainer.update(images, ids)
        form.finish()

    return PeerRun(run, str(form), sum(parameter.numel() for parameter in trainer.network.parameters()))


def create_training(config: ConfigDict) -> TorchSupervisedTraining:
    """The optimiser of a config.

    Raises:
      ValueError: when it is not SGD.
    """
    options = config.optimizer
    if options.name != 'sgd':
        raise ValueError(f'The peer learns by SGD, but not by {options.name}.')
    return TorchSupervisedTraining(options.learning_rate, options.momentum, options.weight_decay, options.clip)


def create_peer_prediction(create: Create, resolution: int, batch: int, form: Form) -> PeerRun:
    """Probabilities of each class at each pixel, by a network in PyTorch."""
    network = form.place(create(configure(resolution, batch, form.dtype))).eval()
    predict = form.build(lambda images: network(images)[0].softmax(dim=1))
    images, _ = _place(resolution, batch, form)

    def run() -> None:
        with torch.inference_mode():
            predict(images)
        form.finish()

    return PeerRun(run, str(form), sum(parameter.numel() for parameter in network.parameters()))


def _place(resolution: int, batch: int, form: Form) -> tuple[Tensor, Tensor]:
    images, ids = draw_batch(resolution, batch)
    return form.place(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())), torch.from_numpy(ids).to(form.device)
