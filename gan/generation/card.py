"""MODEL_CARD.md: what generated images are, where they come from and what they are not for, from the run itself.

After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993).
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import UNKNOWN_PATIENTS, Release
from foundation.export.origin import Origin, ValueForm
from foundation.software import SOFTWARE
from gan.differential_privacy.ledger import PrivacySpent
from gan.evaluation.tables import as_held_out, describe_counts
from gan.reporting import tables
from gan.reporting.runs import ReportedRun

CARD_FILE = 'MODEL_CARD.md'
EVALUATION_FILE = Path('evaluation') / 'report.json'
NOT_STATED = 'not stated'
_ACTIVE = re.compile(r'([\\`*_{}\[\]<>()#|&~!$])')  # what Markdown could take for more than text
_TRAINING = ('architecture', 'drawn', 'parameters', 'loss', 'augmentation', 'machine')
# What a report.json that is missing, damaged, or of another version makes its reader raise.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
INTENDED = ('Research, teaching and tests of software, where images marked as synthetic are enough.',)
LIMITS = (
    'The images are not of persons and are not for diagnosis, treatment or any decision about a patient.',
    'They may resemble training patients. A screen for copies is no proof that none can be recognised.',
    'Rare findings, fine structure and the variety of real patients may be missing, and findings may be drawn '
    'that no patient has.',
    'Biases of the training data are kept or made stronger.',
    'Scores compare sets of images. None of them says that one image is right.',
)


_HOW_TO_READ = (
    'In brackets: images that were used. The last two columns are to be compared: as many generated images as '
    'real ones are held out (scores of pixels: those of them whose pixels were kept), and these real ones in '
    'their place. A score says little where real images score the same.'
)


@dataclasses.dataclass(frozen=True)
class Edition:
    """What a card tells of the images beside it.

    Attributes:
      count: images.
      format: they are written in.
      licence: they are under; '' where it is not stated.
      date: as the user gave it; '' without one.
      watermark: the payload of the mark in all images; '' without one.
    """

    count: int
    format: str
    licence: str
    date: str
    watermark: str


def compose(title: str, sections: Mapping[str, str]) -> str:
    """The whole card: a title, and the text of each section by its own."""
    parts = [f'# {title}', *(f'## {name}\n\n{text}' for name, text in sections.items())]
    return '\n\n'.join(parts) + '\n'


def write_card(path: Path, run: ReportedRun, origin: Origin, edition: Edition, release: Release) -> None:
    """Writes the card.

    Args:
      path: of the file.
      run: that trained the generator.
      origin, edition: of the images.
      release: what the gate found.
    """
    sections = {
        'Images': _describe_images(origin, edition, release.note),
        'Training data': describe_data(run, origin),
        'Training': describe_training(run, origin),
        'Scores': describe_scores(run.workdir, origin.model.weights_sha256),
        'Release gate': _describe_release(release),
        'Intended use': list_points(INTENDED),
        'Known limits': list_points(LIMITS),
    }
    path.write_text(compose(f'Synthetic images of {escape(origin.data.name)}', sections), encoding='utf-8')


def escape(text: Any) -> str:
    """Text of users as one line that Markdown shows as it is."""
    printable = ''.join(character if character.isprintable() else ' ' for character in str(text))
    return _ACTIVE.sub(r'\\\1', ' '.join(printable.split()))


def _describe_images(origin: Origin, edition: Edition, note: str) -> str:
    facts = {'Count': f'{edition.count:,}', 'Format': edition.format}
    facts['Seed'] = str(origin.seed)
    facts['Licence'] = edition.licence or NOT_STATED
    if edition.date:
        facts['Date'] = edition.date
    facts |= describe_form(origin.form)
    if edition.watermark:
        facts['Watermark'] = f'in the pixels of every image, payload {edition.watermark}'
    return (
        f'Drawn by a generative model with {SOFTWARE} {escape(origin.version)}. **Every image is synthetic.** '
        f'`python -m gan.verify` checks the files against manifest.json.\n\n{list_facts(facts)}'
        + (f'\n\n**Note:** {escape(note)}' if note else '')
    )


def describe_form(form: ValueForm) -> dict[str, str]:
    """What the images are, by title."""
    facts = {
        'Classes': ', '.join(form.classes) or 'none',
        'Mask classes': str(form.mask_classes or 'no masks'),
        'Modality': form.modality,
        'Values': _describe_values(form),
    }
    if form.spacing is not None:
        facts['Spacing'] = f'{form.spacing[0]:.4g} x {form.spacing[1]:.4g} mm, typical of the training images'
    return facts


def _describe_values(form: ValueForm) -> str:
    if form.intensity is None:
        return 'relative grey levels: each training volume had its own range'
    low, high = form.intensity
    unit = 'Hounsfield units' if form.is_hounsfield else 'the units of the data'
    return f'{low:g} to {high:g} in {unit}'


def describe_data(run: ReportedRun, origin: Origin) -> str:
    """What the generator was trained on."""
    data = origin.data
    return list_facts(
        {
            'Name': f'{data.name} ({run.recipe.split})',
            'Images': f'{data.images:,}, {UNKNOWN_PATIENTS}' if data.patients is None else f'{data.images:,}',
            **({} if data.patients is None else {'Patients': f'{data.patients:,}'}),
            'Classes': ', '.join(run.facts.classes) or 'none',
            'Licence': data.licence or NOT_STATED,
            'Fingerprint': data.fingerprint,
        }
    )


def describe_training(run: ReportedRun, origin: Origin) -> str:
    """How it was trained, and which weights it draws with."""
    facts = {title.capitalize(): value for title, value in tables.summarize([run]) if title in _TRAINING}
    facts['Resolution'] = f'{origin.model.resolution} x {origin.model.resolution}'
    facts['Images seen'] = run.moment(origin.model.images_seen)
    if origin.model.privacy is not None:
        facts['Differential privacy'] = str(PrivacySpent(**origin.model.privacy))
    facts['Seed'] = str(run.recipe.seed)
    facts['Weights'] = f'SHA-256 {origin.model.weights_sha256}, step {origin.model.step}'
    return list_facts(facts)


def describe_scores(workdir: Path, weights: str) -> str:
    """A table of what gan.evaluate measured on the same weights, or a sentence that there is none."""
    try:
        report = json.loads((workdir / EVALUATION_FILE).read_text(encoding='utf-8'))
        measured = [run for run in report['runs'] if run['weights_sha256'] == weights]
        if not measured:
            return 'Only another state of this generator was evaluated; `python -m gan.evaluate` does it.'
        meanings, scores = report['meanings'], measured[0]['scores']
        rows = [_score_row(meanings[name]['title'], score) for name, score in scores.items()]
        extractor = report['extractor']
        basis = f'Extractor: {escape(extractor["name"])}, SHA-256 {escape(extractor["sha256"])}.'
    except _UNREADABLE:
        return 'The generator was not evaluated; `python -m gan.evaluate` does it.'
    head = ('score', 'value', '95% interval', 'generated at N', 'real against real at N')
    lines = [head, ['---'] * len(head), *(map(escape, row) for row in rows)]
    table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    return f'{basis} {_HOW_TO_READ}\n\n{table}'


def _score_row(title: str, score: Mapping[str, Any]) -> list[str]:
    few, floor = score['at_floor_count'], score['floor']
    at_floor = '' if few is None else _describe_value(few)
    return [
        title,
        _describe_value(score),
        _describe_interval(score),
        at_floor,
        _describe_value(as_held_out(floor)),
    ]


def _describe_value(score: Mapping[str, Any]) -> str:
    if score['value'] is None:
        return f'none: {score["reason"]}'
    return f'{score["value"]:.4g} ({describe_counts(score["counts"])})'


def _describe_interval(score: Mapping[str, Any]) -> str:
    return '' if score['interval'] is None else f'{score["interval"][0]:.4g} to {score["interval"][1]:.4g}'


def _describe_release(release: Release) -> str:
    if release.verdict == 'not checked':
        return 'Verdict: **not checked**. Nobody looked whether the images resemble training patients.'
    return f'Verdict: **{release.verdict}**.\n\n{list_facts(flatten_figures(release.figures))}'


def flatten_figures(figures: Mapping[str, Any], prefix: str = '') -> dict[str, str]:
    """Figures of the gate by their names, those of parts behind the part's name."""
    flat: dict[str, str] = {}
    for name, value in figures.items():
        if name in ('reason', 'reasons') and not value:
            continue  # there is nothing to give a reason for
        if isinstance(value, Mapping):
            flat |= flatten_figures(value, f'{prefix}{name}, ')
        else:
            flat[f'{prefix}{name}'.replace('_', ' ')] = _plain(value)
    return flat


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return '; '.join(map(_plain, value)) or 'none'
    if value is None or isinstance(value, bool):
        return {None: 'none', True: 'yes', False: 'no'}[value]
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def list_facts(facts: Mapping[str, str]) -> str:
    """Facts by title, one a line, as Markdown."""
    return list_points([f'{escape(name)}: {escape(value)}' for name, value in facts.items()], escaped=True)


def list_points(lines: Sequence[str], *, escaped: bool = False) -> str:
    """Sentences, one a line, as Markdown; `escaped` where they are Markdown already."""
    return '\n'.join(f'- {line if escaped else escape(line)}' for line in lines)
