"""Choices that depend on the machine: the type of the computation, and how many steps one call makes."""

import jax
import jax.numpy as jnp

from foundation.training.errors import UserError

_STEPS_ON_ACCELERATORS = 32


def on_cpu() -> bool:
    """Whether the computation runs on CPUs."""
    return jax.default_backend() == 'cpu'


def compute_dtype(name: str) -> jnp.dtype:
    """float32, bfloat16, or (`auto`) what suits this machine; see `dtype_on`."""
    return dtype_on(name, cpu=on_cpu())


def dtype_on(name: str, *, cpu: bool) -> jnp.dtype:
    """float32, bfloat16, or (`auto`) bfloat16 on accelerators and float32 on CPUs.

    Raises:
      UserError: for another name.
    """
    known = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
    known['auto'] = known['float32' if cpu else 'bfloat16']
    if name not in known:
        raise UserError(f'config.compute_dtype is {name!r}; choose one of {sorted(known)}.')
    return jnp.dtype(known[name])


def steps_per_call(configured: int, cycle: int) -> int:
    """Steps in one call of the device: as configured, or (0) many on accelerators and one on CPUs.

    A whole number of cycles of so many steps, so that full calls repeat one program.
    """
    if configured:
        return configured
    return 1 if on_cpu() else cycle * max(_STEPS_ON_ACCELERATORS // cycle, 1)
