"""A look at whether the installed JAX computes correctly, before anything depends on it.

Some releases of JAX compute wrong numbers without a word. Those known to are refused by name, since one of them
hangs instead of answering; then operations that went wrong in them are compared with NumPy.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jaxtyping import Array, Float

from foundation.training.errors import UserError

# Wrong numbers on CPUs (jax issue 39103); on GPUs (40633); on GPUs, and hangs on CPUs.
FAULTY_VERSIONS = ('0.10.2', '0.11.0', '0.11.1')
# 0.10.2 is wrong from 32,769 rows on, though not at every number of them.
_ROWS = 40_000
_TOLERANCE = 1e-4
_REMEDY = (
    "Install another version of JAX, such as the one in this project's constraints.txt: "
    "pip install -c constraints.txt -e '.'"
)


def check_arithmetic() -> None:
    """Compares a few operations with NumPy, in milliseconds.

    Raises:
      UserError: when this JAX is known to be faulty, or computed a wrong number.
    """
    installed = f'jax {jax.__version__} with jaxlib {jaxlib.__version__}'
    if {jax.__version__, jaxlib.__version__} & set(FAULTY_VERSIONS):
        raise UserError(f'{installed} computes wrong numbers. {_REMEDY}')
    for name, compute, expected in _comparisons():
        with jax.default_matmul_precision('highest'):  # by default GPUs multiply with 11 bits, which is no fault
            computed = np.asarray(compute())
        if not np.allclose(computed, expected, rtol=_TOLERANCE, atol=0):
            raise UserError(f'{installed} on {jax.devices()[0].device_kind} computes {name} wrongly. {_REMEDY}')


def _comparisons() -> tuple[tuple[str, Callable[[], Array], np.ndarray], ...]:
    """The name of an operation, what computes it, and the right answer."""
    rows = np.zeros((_ROWS, 3), np.float32)
    rows[:, 0] = np.arange(_ROWS)
    matrix = np.eye(3, dtype=np.float32)
    return (
        ('a sum of squares of many rows', lambda: _squares(matrix, rows), rows[:, 0] ** 2),
        ('a square root', lambda: jnp.sqrt(jnp.float32(512)), np.full((), 512**0.5, np.float32)),
        ('a sum of ones', lambda: jnp.ones(4) + 1, np.full(4, 2, np.float32)),
        ('a convolution', lambda: _box(jnp.ones((1, 9, 9, 2))), np.full((1, 7, 7, 1), 18, np.float32)),
    )


@jax.jit
def _squares(matrix: Float[Array, '3 3'], rows: Float[Array, 'row 3']) -> Float[Array, ' row']:
    return jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2))(rows)


@jax.jit
def _box(images: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ 1']:
    kernel = jnp.ones((3, 3, images.shape[-1], 1))
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
