"""What BigGAN's fields ask of each other."""

from gan.families.family import Fields
from gan.networks.progressive import doublings


def fits(fields: Fields) -> str:
    """Why the latent cannot be cut into chunks; '' where it can."""
    size, chunks = fields['generator']['latent_size'], 1 + len(doublings(8, fields['resolution']))
    if size >= chunks:
        return ''
    return (
        f'config.generator.latent_size is {size}, but is cut into {chunks} chunks, one for each block and one for '
        f'the first layer; set it to {chunks} or more.'
    )
