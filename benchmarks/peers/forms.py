"""The forms in which PyTorch can run a network: layout in memory, precision, compiled or not."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Form:
    """How networks are run.

    Attributes:
      device: cpu or cuda.
      dtype: 'float32', or 'bfloat16' for autocast.
      channels_last: the layout of images and kernels.
      compiled: by `torch.compile`.
    """

    device: str
    dtype: str
    channels_last: bool
    compiled: bool

    def __str__(self) -> str:
        layout = 'channels last' if self.channels_last else 'channels first'
        return f'{"compiled" if self.compiled else "eager"}, {layout}'

    def place(self, value: Any) -> Any:
        """A network, or a batch of images, on the device and in the layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return value.to(device=self.device, memory_format=layout)

    def build(self, function: Callable[..., Tensor] | nn.Module) -> Callable[..., Any]:
        """The function as it is to be called."""

        @functools.wraps(function.forward if isinstance(function, nn.Module) else function)
        def cast(*arguments: Tensor) -> Any:
            with torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == 'bfloat16'):
                return function(*arguments)

        return torch.compile(cast) if self.compiled else cast

    def finish(self) -> None:
        """Waits until all is computed."""
        if self.device == 'cuda':
            torch.cuda.synchronize()


def list_eager_forms(device: str, dtype: str) -> tuple[Form, ...]:
    """Those that are not compiled, for libraries that are not made for it."""
    layouts = (True,) if device == 'cuda' else (False, True)
    return tuple(Form(device, dtype, channels_last, compiled=False) for channels_last in layouts)


def list_forms(device: str, dtype: str) -> tuple[Form, ...]:
    """Those worth trying: on CPUs the quickest differs from network to network."""
    compiled = Form(device, dtype, channels_last=True, compiled=True)
    return (compiled,) if device == 'cuda' else (*list_eager_forms(device, dtype), compiled)


def list_one_form(device: str, dtype: str) -> tuple[Form, ...]:
    """For what no form changes."""
    return list_eager_forms(device, dtype)[:1]
