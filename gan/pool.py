"""A pool of earlier fakes, which a discriminator is shown in place of new ones.

Shrivastava et al. 2017, arXiv:1612.07828. It is a collection of the discriminator's variables, so that checkpoints
hold it.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

POOL = 'pool'  # the variable collection
Images = Float[Array, 'batch height width channel']


def create_pool(shape: tuple[int, ...]) -> dict[str, Array]:
    """An empty pool for so many images: `shape` is that of all of them."""
    return {'images': jnp.zeros(shape, jnp.float32), 'count': jnp.zeros((), jnp.int32)}


def exchange(pool: Mapping[str, Array], fakes: Images, key: PRNGKeyArray) -> tuple[dict[str, Array], Images]:
    """The pool after these fakes, one by one, and what is shown in their place.

    While the pool is not full, a fake enters it and is shown. Then one of two is shown as it is, and the other
    takes the place of a random one, which is shown.
    """
    coin_key, place_key = jax.random.split(key)
    count, size = len(fakes), len(pool['images'])
    coins, places = (
        jax.random.bernoulli(coin_key, shape=(count,)),
        jax.random.randint(place_key, (count,), 0, size),
    )

    def exchange_one(
        pool: tuple[Array, Array], drawn: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        (images, held), (fake, coin, place) = pool, drawn
        filling = held < size
        place = jnp.where(filling, held, place)
        former = images[place]
        images = images.at[place].set(jnp.where(filling | coin, fake, former))
        return (images, jnp.minimum(held + 1, size)), jnp.where(coin & ~filling, former, fake)

    before = pool['images'], pool['count']
    (images, held), shown = jax.lax.scan(exchange_one, before, (fakes, coins, places))
    return {'images': images, 'count': held}, shown
