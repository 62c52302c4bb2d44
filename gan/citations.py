"""The papers that a run used, from tables that name them, and their BibTeX."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from configs import schema
from configs.gan.schema import GAN
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.generator import read_recipe
from gan.weights import is_exported

_BIBLIOGRAPHY = Path(__file__).with_name('papers.bib')
_ENTRY = re.compile(r'^@\w+\{(\w+),\n.*?^\}$', re.DOTALL | re.MULTILINE)
# What measured a run: the file, and the part of it whose entries have scores.
_MEASURED = {Path('evaluation', 'report.json'): 'runs', Path('sweep', 'sweep.json'): 'settings'}
Papers = tuple[str, ...]
# Of networks of a GAN.
ARCHITECTURES: dict[str, Papers] = {
    'progressive': ('karras2018',),
    'dcgan': ('radford2016',),
    'residual': ('gulrajani2017',),
    'perceptron': ('goodfellow2014', 'goodfellow2013'),
    'r3gan': ('huang2024',),
    'biggan': ('brock2019',),
    'stylegan': ('karras2019',),
    'stylegan2': ('karras2020',),
    'gran': ('im2016',),
    'infogan': ('chen2016',),
    'bigan': ('donahue2017', 'dumoulin2017'),
    'aae': ('makhzani2015',),
    'lapgan': ('denton2015',),
    'cyclegan': ('zhu2017', 'shrivastava2017', 'johnson2016'),
    'pix2pix': ('isola2017', 'johnson2016'),
    'stargan': ('choi2018', 'johnson2016'),
}
# Of fields of a GAN's config: values that have papers.
FIELDS: dict[str, dict[Any, Papers]] = {
    'generator.spectral_norm': {True: ('miyato2018',)},
    'discriminator.spectral_norm': {True: ('miyato2018',)},
    'loss.name': {
        'wasserstein': ('arjovsky2017',),
        'hinge': ('lim2017',),
        'non_saturating': ('goodfellow2014',),
        'minimax': ('goodfellow2014',),
        'least_squares': ('mao2017',),
        'relativistic': ('jolicoeur2019',),
    },
    'loss.penalty': {
        'gradient': ('gulrajani2017',),
        'zero_centred': ('mescheder2018',),
        'zero_centred_fake': ('mescheder2018',),
        'zero_centred_both': ('mescheder2018',),
    },
    'optimizer.name': {'adam': ('kingma2015',)},
    'augment.adaptive': {True: ('karras2020ada',)},
}
# Of fields that are numbers or lists: what is used where they are not 0 or empty.
SWITCHES: dict[str, Papers] = {
    'generator.attention_resolution': ('zhang2019',),
    'loss.orthogonal_weight': ('brock2019',),
    'loss.label_smoothing': ('salimans2016',),
    'loss.input_noise': ('arjovsky2017principled',),
    'optimizer.discriminator_limit': ('arjovsky2017',),
    'augment.operations': ('zhao2020', 'karras2020ada'),
    'family.gradient_weight': ('hiasa2018',),
    'privacy.epsilon': ('abadi2016', 'xie2018'),
    'privacy.noise_multiplier': ('abadi2016', 'xie2018'),
}
# Of how classes enter the discriminator of a conditional run.
CONDITIONS: dict[str, Papers] = {
    'concatenation': ('mirza2014',),
    'projection': ('miyato2018projection',),
    'auxiliary': ('odena2017',),
}
SCORES: dict[str, Papers] = {
    'frechet_distance': ('heusel2017',),
    'kernel_distance': ('binkowski2018',),
    'precision': ('kynkaanniemi2019',),
    'recall': ('kynkaanniemi2019',),
    'density': ('naeem2020',),
    'coverage': ('naeem2020',),
    'inception_score': ('salimans2016',),
    'mode_score': ('che2017',),
    'mode_score_identity': ('che2017',),
    'mode_score_reversed': ('che2017',),
    'am_score': ('zhou2018',),
    'swd': ('karras2018',),
    'swd_intensity_aware': ('karras2018',),
    'ms_ssim': ('wang2003', 'odena2017'),
    'authentic_percentage': ('alaa2022',),
    'copying_score': ('meehan2020',),
    'path_length': ('karras2019',),
}
TRANSLATED: Papers = ('wang2003',)  # of pairs of translated images and their truth
FID: Papers = ('szegedy2016',)  # of the extractor whose distance has that name
RADIOMICS: Papers = ('konz2026', 'zwanenburg2020')  # of features that are no network's
# Of networks of other tasks.
UNET: Papers = ('ronneberger2015', 'isensee2021')
BACKBONES: dict[str, Papers] = {'resnet': ('he2016',), 'densenet': ('huang2017',)}
CONTRASTIVE: Papers = ('chen2020',)  # of encoders that were trained without labels
ENHANCED: Papers = ('waqas2022',)  # a progressive GAN with attention or a spectral norm


def find_papers(folder: Path) -> list[str]:
    """Keys of what the run in a folder used, each once: networks, training, scores.

    Raises:
      UserError: when the folder holds no run, a damaged one, or one of a kind whose papers no table names.
    """
    found = [*_papers_of_run(folder)]
    if not found:
        raise UserError(
            f'{folder} holds a run of a kind whose papers are in no table; give a run of gan.main, segment.main, '
            'detect.main or backbones.main.'
        )
    return list(dict.fromkeys([*found, *_papers_of_scores(folder)]))


def write_bibtex(papers: list[str]) -> str:
    """The entries of these papers, in their order."""
    entries = read_bibliography()
    return '\n\n'.join(entries[key] for key in papers) + '\n'


def read_bibliography() -> dict[str, str]:
    """All entries by key."""
    return {match[1]: match[0] for match in _ENTRY.finditer(_BIBLIOGRAPHY.read_text(encoding='utf-8'))}


def _papers_of_run(folder: Path) -> Iterator[str]:
    """Of what it trained; none where it is of no task that is known here."""
    fields = {} if is_exported(folder) else workdirs.read_json(folder, workdirs.CONFIG_FILE)
    if is_exported(folder) or {'generator', 'discriminator'} <= fields.keys():
        kept = read_recipe(folder).fields  # maybe of an earlier version, without fields that it means
        yield from papers_of_gan(schema.known_part(GAN, ConfigDict(kept)).to_dict())
    elif _value(fields, 'network.deep_supervision') is not None:
        yield from UNET
    else:
        yield from BACKBONES.get(str(fields.get('architecture')), ())
        yield from CONTRASTIVE if 'contrast' in fields else ()


def papers_of_gan(fields: Mapping[str, Any]) -> Iterator[str]:
    """Of what a GAN with these fields is trained with."""
    architecture = fields['architecture']
    yield from ARCHITECTURES.get(architecture, ())
    attends = _value(fields, 'generator.attention_resolution')
    if architecture == 'progressive' and (attends or _value(fields, 'discriminator.spectral_norm')):
        yield from ENHANCED
    for name, papers in FIELDS.items():
        yield from papers.get(_value(fields, name), ())
    for name, used in SWITCHES.items():
        yield from used if _value(fields, name) else ()
    if fields['conditional']:
        yield from CONDITIONS.get(_value(fields, 'discriminator.condition'), ())


def _value(fields: Mapping[str, Any], name: str) -> Any:
    """Of a field; None where the config has none of that name."""
    section, field = name.split('.')
    values = fields.get(section)
    return values.get(field) if isinstance(values, Mapping) else None


def _papers_of_scores(folder: Path) -> Iterator[str]:
    """Of the scores that were measured of it, where there are any."""
    for file, part in _MEASURED.items():
        if not (folder / file).exists():
            continue
        report = workdirs.read_json(folder, str(file))
        if not {'scores', 'directions'}.isdisjoint(report):
            yield from TRANSLATED
            continue
        try:
            scores = [each['scores'] for each in report[part]]
            measured = [
                name for name in SCORES if any(name in each and each[name]['value'] is not None for each in scores)
            ]
            used = [*measured, *(['path_length'] if report.get('path_lengths') else [])]
            is_fid = report['extractor']['is_fid']
            is_radiomic = report['extractor'].get('is_radiomic', False)  # reports from before have none
        except (KeyError, TypeError) as error:
            raise UserError(f'{folder / file} is no report of a generator; measure the run anew.') from error
        for name in used:
            yield from SCORES[name]
        yield from FID if is_fid else RADIOMICS if is_radiomic else ()
