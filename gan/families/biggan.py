"""What BigGAN's fields ask of each other."""

from gan.families.family import Sections
from gan.networks.progressive import doublings


def fits(sections: Sections, resolution: int) -> str:
    """Why the latent cannot be cut into chunks; '' where it can."""
    size, chunks = sections['generator']['latent_size'], 1 + len(doublings(8, resolution))
    if size >= chunks:
        return ''
    return (
        f'config.generator.latent_size is {size}, but is cut into {chunks} chunks, one for each block and one for '
        f'the first layer; set it to {chunks} or more.'
    )
