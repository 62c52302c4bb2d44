"""What the page shows. Elements are built as trees, so that no text from outside can become markup."""

import base64
import dataclasses
import html
import io
import string
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from PIL import Image

from detect.judge import Judge
from detect.page.results import Answered, PageResults

_TEMPLATE = Path(__file__).parent / 'page.html'
_HEIGHT = 512  # pixels of a picture on the screen
_CLASSES = {'real': 'real', 'synthetic': 'synthetic', "don't know": 'unknown'}
_LONGEST_ODDS = 1_000_000


@dataclasses.dataclass(frozen=True)
class DetectorPage:
    """What is the same for all answers.

    Attributes:
      template: of the page.
      facts: of the detector, by their places in it.
    """

    template: string.Template
    facts: Mapping[str, str]

    @classmethod
    def create(cls, judge: Judge, max_bytes: int) -> 'DetectorPage':
        """The page of a detector."""
        facts = {
            'max_bytes': str(max_bytes),
            'max_megabytes': f'{max_bytes / 2**20:g}',
            'model': judge.detector.checksum,
            'modalities': ', '.join(judge.detector.calibration.modalities),
            'error_level': f'{100 * judge.error_level:g}%',
        }
        return cls(string.Template(_TEMPLATE.read_text(encoding='utf-8')), facts)

    def render(self, answers: Sequence[Element], *, percent: str) -> str:
        """HTML, with these answers and what stood in the field for the expected share."""
        texts = {name: html.escape(text) for name, text in (*self.facts.items(), ('percent', percent))}
        shown = '\n'.join(ET.tostring(one, encoding='unicode', method='html') for one in answers)
        return self.template.substitute(texts, answers=shown)


def describe_problem(sentence: str) -> Element:
    """Why there is no answer."""
    problem = Element('p', {'class': 'problem', 'role': 'alert', 'tabindex': '-1'})
    problem.text = sentence
    return problem


def describe_answers(answers: PageResults) -> list[Element]:
    """An article for each case, and those that could not be judged."""
    shown = [_describe_case(case) for case in answers.cases]
    if answers.refused:
        article = Element('article', {'class': 'refused', 'tabindex': '-1', 'aria-label': 'Not answered'})
        _add(article, 'h2', 'Not answered')
        lines = SubElement(article, 'ul')
        for name, reason in answers.refused:
            _add(lines, 'li', f'{name}: {reason.removeprefix(f"{name}: ")}')
        shown.append(article)
    return shown


def _describe_case(case: Answered) -> Element:
    answer = case.answer
    article = Element('article', {'tabindex': '-1', 'aria-label': case.label})
    _add(article, 'h2', case.label)
    verdict = _add(article, 'p', 'Verdict: ', {'class': f'verdict {_CLASSES[answer["verdict"]]}'})
    _add(verdict, 'strong', answer['verdict'])
    if answer['reason']:
        _add(article, 'p', answer['reason'], {'class': 'reason'})
    if answer['note']:
        _add(article, 'p', answer['note'], {'class': 'note'})
    _add(article, 'p', _tell_declared(answer['declared_synthetic']), {'class': 'declared'})
    if answer['probability'] is not None:
        _add_figures(article, answer)
    if case.picture is not None:
        _add_picture(article, case.picture, len(answer['slices']))
    if len(answer['slices']) > 1:
        _add_slices(article, answer['slices'])
    files = _add_details(article, 'Checksums, SHA-256')
    for file in answer['files']:
        _add(_add(files, 'p', ''), 'code', file['sha256'])
    return article


def _tell_declared(declared: Mapping[str, Any] | None) -> str:
    """What the file says, whatever the model thinks."""
    if declared is None:
        return 'What the file says of itself: nothing of being synthetic. That does not make it real.'
    told = declared.get('element', declared['by'])
    return f'What the file says of itself, whatever the detector thinks: it is synthetic ({told}).'


def _add_figures(article: Element, answer: Mapping[str, Any]) -> None:
    figures = SubElement(article, 'dl')
    _add(figures, 'dt', 'Probability of being synthetic')
    _add(figures, 'dd', f'{_percent(answer["probability"])}, where as many images are synthetic as in validation')
    if answer['probability_at_prevalence'] is not None:
        expected, moved = 100 * answer['prevalence'], answer['probability_at_prevalence']
        _add(figures, 'dt', f'If {expected:g}% of your images are synthetic')
        _add(figures, 'dd', f'{_percent(moved)}: odds of {odds(moved)} for synthetic', {'class': 'odds'})
    evidence = answer['evidence']
    _add(figures, 'dt', 'Trace of synthesis (conformal p values)')
    _add(
        figures,
        'dd',
        f'{evidence["trace"]["says"]} Fit to real images {answer["real_p"]:.3f}, to synthetic ones '
        f'{answer["fake_p"]:.3f}',
    )
    _add(figures, 'dt', 'Distance from real training images (p value)')
    _add(
        figures,
        'dd',
        f'{evidence["strangeness"]["says"]} {answer["anomaly_p"]:.3f}: the share of real images so strange',
    )
    _add(figures, 'dt', 'Kind of picture (p values)')
    p_values = [answer['kind_p'], answer['made_kind_p']]
    shares = (
        '' if None in p_values else ' {:.3f} of real ones are as far, {:.3f} of synthetic ones'.format(*p_values)
    )
    _add(figures, 'dd', f'{evidence["kind"]["says"]}{shares}')
    if len(answer['slices']) == 1:
        (place,) = answer['slices']
        _add(figures, 'dt', 'Strangest place')
        _add(figures, 'dd', f'row {place["row"]}, column {place["column"]} of the file, counted from 0')
    if len(answer['slices']) > 1:
        _add(figures, 'dt', 'Slices that decided, the most suspicious first')
        _add(figures, 'dd', ', '.join(str(place + 1) for place in answer['deciding']))
    _add(figures, 'dt', 'Looked at')
    _add(figures, 'dd', answer['looked_at'])
    _add(figures, 'dt', 'Modality')
    _add(figures, 'dd', answer['modality'])


def _add_picture(article: Element, picture: bytes, slices: int) -> None:
    with Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
    figure = SubElement(article, 'figure')
    SubElement(figure, 'img', {
        'src': f'data:image/png;base64,{base64.b64encode(picture).decode()}',
        'width': str(_HEIGHT * width // height),
        'height': str(_HEIGHT),
        'alt': 'Above, the image as the detector sees it; below, the same with colour where it is strange.',
    })  # fmt: skip
    many = ' The most suspicious slices, from first to last.' if slices > 1 else ''
    _add(
        figure,
        'figcaption',
        f'Above: what the detector sees.{many} Below: the same, coloured from purple to yellow where it is '
        'stranger than most real images are; one scale for all images.',
    )


def _add_slices(article: Element, slices: Sequence[Mapping[str, Any]]) -> None:
    details = _add_details(article, f'All {len(slices)} slices that were looked at')
    frame = SubElement(
        details, 'div', {'class': 'scroll', 'tabindex': '0', 'role': 'region', 'aria-label': 'Table of slices'}
    )
    table = SubElement(frame, 'table')
    _add(table, 'caption', 'Slices are counted from 1, rows and columns of the file from 0.')
    head = SubElement(SubElement(table, 'thead'), 'tr')
    for title in ('Slice', 'Synthetic', 'Strangeness (p)', 'Strangest row', 'Column'):
        _add(head, 'th', title, {'scope': 'col'})
    body = SubElement(table, 'tbody')
    for one in slices:
        row = SubElement(body, 'tr')
        _add(row, 'th', str(one['index'] + 1), {'scope': 'row'})
        for text in (_percent(one['probability']), f'{one["anomaly_p"]:.3f}', str(one['row']), str(one['column'])):
            _add(row, 'td', text)


def _add_details(parent: Element, summary: str) -> Element:
    details = SubElement(parent, 'details')
    _add(details, 'summary', summary)
    return details


def _add(parent: Element, tag: str, text: str, attributes: Mapping[str, str] | None = None) -> Element:
    child = SubElement(parent, tag, dict(attributes or {}))
    child.text = text
    return child


def _percent(share: float) -> str:
    """Never 0% and never 100%: a model is not certain."""
    if share < 1e-4:
        return 'below 0.01%'
    return 'above 99.99%' if share > 1 - 1e-4 else f'{100 * share:.2f}%'


def odds(probability: float) -> str:
    """As people say them: 3 to 1, 1 to 99, and nothing beyond a million.

    Args:
      probability: of what they are for, from 0 to 1.
    """
    likely, unlikely = max(probability, 1 - probability), min(probability, 1 - probability)
    if unlikely * _LONGEST_ODDS <= likely:
        ratio = f'more than {_LONGEST_ODDS:,}'
    else:
        ratio = f'{likely / unlikely:,.1f}' if likely < 10 * unlikely else f'{likely / unlikely:,.0f}'
    return f'{ratio} to 1' if probability >= 0.5 else f'1 to {ratio}'
