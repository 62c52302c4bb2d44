"""Methods of the literature that configs train, what each is for, and the table of them in docs/zoo.md.

`python -m gan.families.methods` prints the table.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gan.families import FAMILIES


@dataclasses.dataclass(frozen=True)
class Method:
    """A published method, and the config that trains it.

    Attributes:
      config: of `configs/gan`, with its variant where it has some.
      title: as it is called.
      paper: where it comes from, by its key in papers.bib.
      purpose: what it is for.
      claim: what it must show.
      fields: of the config that differ, by dotted name.
    """

    config: str
    title: str
    paper: str
    purpose: str
    claim: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def create_config(self) -> ConfigDict:
        """Its config."""
        file, _, variant = self.config.partition(':')
        config = importlib.import_module(f'configs.gan.{file}').get_config(*filter(None, [variant]))
        config.update_from_flattened_dict(self.fields)
        return config

    def flags(self) -> str:
        """What names it on the command line."""
        file, colon, variant = self.config.partition(':')
        named = f'configs/gan/{file}.py{colon}{variant}'
        return ' '.join([named, *(f'--config.{name}={value}' for name, value in self.fields.items())])


METHODS = (
    Method(
        'vanilla',
        'GAN',
        'goodfellow2014',
        'the first GAN, of perceptrons',
        'modes go missing under minimax, on eight Gaussians',
    ),
    Method(
        'vanilla',
        'conditional GAN',
        'mirza2014',
        'classes join latents and pixels',
        'each class is drawn when asked for',
        {'conditional': True},
    ),
    Method(
        'dcgan', 'DCGAN', 'radford2016', 'the first convolutional GAN', 'a lower distance than perceptrons reach'
    ),
    Method('wgan', 'WGAN', 'arjovsky2017', 'a critic held by clipping', 'stays behind WGAN-GP, for the record'),
    Method(
        'wgan_gp', 'WGAN-GP', 'gulrajani2017', 'a critic held by its slope', 'trains where clipping learns slowly'
    ),
    Method('lsgan', 'LSGAN', 'mao2017', "least squares, CycleGAN's loss", 'as good as DCGAN, with its networks'),
    Method(
        'sngan', 'SNGAN', 'miyato2018', 'a critic held by its spectral norm', 'steps without second derivatives'
    ),
    Method(
        'conditional:auxiliary',
        'AC-GAN',
        'odena2017',
        'a classifier inside the discriminator',
        'samples that a classifier recognises',
    ),
    Method(
        'conditional:projection',
        'projection discriminator',
        'miyato2018projection',
        'classes enter as an inner product',
        'samples that a classifier recognises, more varied than those of AC-GAN',
    ),
    Method('sagan', 'SAGAN', 'zhang2019', 'attention over the whole image', 'a lower distance than SNGAN'),
    Method(
        'pggan', 'PGGAN', 'karras2018', 'grows from 4x4: large images', 'stable training up to 256x256 and beyond'
    ),
    Method(
        'enhanced_gan',
        'Enhanced-GAN',
        'waqas2022',
        'PGGAN with attention and a spectral norm',
        'a lower distance than PGGAN',
    ),
    Method(
        'infogan',
        'InfoGAN',
        'chen2016',
        'finds classes that nobody named',
        'information of at least 0.9 ln 6 about six classes without labels',
    ),
    Method(
        'bigan', 'BiGAN', 'donahue2017', 'an encoder beside the generator', 'anomalies stand out by their codes'
    ),
    Method(
        'aae',
        'adversarial autoencoder',
        'makhzani2015',
        'codes that follow a prior, and classes from few labels',
        'an error of at most 5% with 100 labels',
    ),
    Method(
        'lapgan',
        'LAPGAN',
        'denton2015',
        'a generator for each level of a pyramid',
        "a real image's pyramid rebuilds it exactly",
    ),
    Method(
        'gran',
        'GRAN',
        'im2016',
        'strokes on a canvas, summed to the image',
        'how the drawing grows over its steps',
    ),
    Method(
        'biggan',
        'BigGAN',
        'brock2019',
        'classes and a part of the latent in every block',
        'a lower distance than SAGAN; truncation trades recall for precision',
    ),
    Method(
        'stylegan',
        'StyleGAN',
        'karras2019',
        'a style for each layer, mixed and truncated',
        'a lower distance than PGGAN at equal time',
    ),
    Method(
        'stylegan2',
        'StyleGAN2',
        'karras2020',
        'styles without artefacts, paths of one length',
        'a lower distance than PGGAN at equal time',
    ),
    Method(
        'r3gan',
        'R3GAN',
        'huang2024',
        'the recipe of today: pairs, R1 and R2',
        'all modes, and a lower distance than WGAN-GP at equal time',
    ),
    Method(
        'cyclegan',
        'CycleGAN',
        'zhu2017',
        'images of one kind become another, without pairs',
        'a lower error than histogram matching, and lesions neither invented nor lost',
    ),
    Method(
        'pix2pix',
        'pix2pix',
        'isola2017',
        'the same from pairs: the upper bound',
        'a lower error than CycleGAN on the same images',
    ),
    Method(
        'stargan',
        'StarGAN',
        'choi2018',
        'images of any class become any other, by one network',
        'a classifier of real images finds the class that was asked for',
    ),
)
# Configs that train one of these on other data, at another size, or two of them side by side.
APPLICATIONS = ('comparison', 'dcgan_cifar_dog', 'dcgan_medical', 'private', 'quickstart', 'small', 'tiny')


def list_titles() -> str:
    """All methods in one line."""
    return ', '.join(method.title for method in METHODS)


def table() -> str:
    """The methods as a table, in Markdown."""
    header = '| method | config | architecture | loss, penalty | classes | what it is for | what it must show |'
    rows = [' | '.join(['', *_cells(method), '']).strip() for method in METHODS]
    return '\n'.join([header, '| --- | --- | --- | --- | --- | --- | --- |', *rows]) + '\n'


def _cells(method: Method) -> list[str]:
    config = method.create_config()
    loss = config.loss.name if config.loss.penalty == 'none' else f'{config.loss.name}, {config.loss.penalty}'
    return [
        f'{method.title} ({method.paper})',
        f'`{method.flags()}`',
        config.architecture,
        loss,
        _describe_condition(config.architecture, config.conditional),
        method.purpose,
        method.claim,
    ]


def _describe_condition(architecture: str, conditional: bool) -> str:
    values = FAMILIES[architecture].allows.get('conditional', (False, True))
    if len(values) > 1:
        return 'yes' if conditional else 'possible'
    return 'always' if values[0] else 'never'


if __name__ == '__main__':
    print(table(), end='')
