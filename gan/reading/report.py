"""The report of a study: a page for people and the numbers behind it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backbones.grids import draw_grid, save_picture
from foundation.report.figures import create_figure, write_figure
from foundation.report.page import Page
from foundation.training.errors import UserError
from foundation.training.workdir import write_json
from gan.reading import analysis
from gan.reading.analysis import KINDS, CallAgreement, ReaderResult, Reading, ReadShare, StudyAnswers
from gan.reading.answers import SCALE, AnswerSheet
from gan.reading.plan import OpenStudy, StudyPlan
from gan.reading.power import equivalence_power

PAGE_FILE, NUMBERS_FILE, FIGURES = 'report.html', 'report.json', 'figures'
_SHOWN = 24  # images of a picture
_FEW_READERS = 5
_WHOM = {
    'these readers': 'for these readers with other cases',
    'other readers': 'for other readers like these, and other cases',
}


@dataclasses.dataclass(frozen=True, eq=False)
class StudyResult:
    """All that is reported.

    Attributes:
      plan: of the study.
      readers: of each.
      together: means over readers, by whom they speak of; empty for one reader.
      by_class: the same of these readers, by class.
      agreement: of each two readers, from 1.
      sentences: what can be said of chance.
      fooled: generated cases that all called real.
      missed: real cases that all called generated.
    """

    plan: StudyPlan
    readers: Sequence[ReaderResult]
    together: Mapping[str, Reading]
    by_class: Mapping[str, Reading]
    agreement: Mapping[tuple[int, int], Mapping[str, CallAgreement]]
    sentences: Sequence[str]
    fooled: Sequence[int]
    missed: Sequence[int]

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON has them."""
        plan = dataclasses.asdict(self.plan)
        del plan['orders']
        return {
            'plan': plan | {'sha256': self.plan.checksum},
            'positive': 'generated',
            'levels': {'interval': 1 - self.plan.alpha, 'equivalence': 1 - 2 * self.plan.alpha},
            'conclusions': list(self.sentences),
            'readers': [dataclasses.asdict(each) for each in self.readers],
            'together': {name: dataclasses.asdict(each) for name, each in self.together.items()},
            'together_by_class': {name: dataclasses.asdict(each) for name, each in self.by_class.items()},
            'agreement': [
                {'readers': list(pair), **{kind: dataclasses.asdict(each) for kind, each in found.items()}}
                for pair, found in self.agreement.items()
            ],
            'called_real_by_all': list(self.fooled),
            'called_generated_by_all': list(self.missed),
        }


def measure_study(plan: StudyPlan, answers: StudyAnswers) -> StudyResult:
    """Computes all of it."""
    count, alpha = plan.readers, plan.alpha
    readers = [analysis.judge_reader(answers, reader, plan) for reader in range(count)]
    together, by_class = {}, {}
    if count > 1:
        everything = np.ones_like(answers.generated)
        for name, other in (('these readers', False), ('other readers', True)):
            together[name] = analysis.read_together(answers, everything, alpha, other_readers=other)
        for label in readers[0].by_class:
            own = answers.labels == label
            by_class[label] = analysis.read_together(answers, own, alpha, other_readers=False)
    known = {name: each for name, each in together.items() if each is not None}
    subjects = {f'Reader {number}': each.reading for number, each in enumerate(readers, start=1)}
    subjects |= {f'All {count} readers, {_WHOM[name]}': each for name, each in known.items()}
    fooled, missed = analysis.find_worst(answers)
    return StudyResult(
        plan=plan,
        readers=readers,
        together=known,
        by_class={name: each for name, each in by_class.items() if each is not None},
        agreement={
            (first + 1, second + 1): analysis.agree_between(answers, first, second, alpha)
            for second in range(count)
            for first in range(second)
        },
        sentences=[analysis.conclude(who, each, plan.margin, alpha) for who, each in subjects.items()],
        fooled=fooled,
        missed=missed,
    )


def write_report(study: OpenStudy, sheets: Sequence[AnswerSheet], *, early: bool) -> StudyResult:
    """Writes the page, its figures and the numbers into the folder of the study.

    Args:
      study: with its truth, which the page shows.
      sheets: of each reader.
      early: whether readers may still have cases before them.

    Raises:
      UserError: when they have, and may not; when there is no answer at all.
    """
    missing = sum(len(sheet.order) - len(sheet.answers) for sheet in sheets)
    if missing and not early:
        raise UserError(
            f'{study.folder}: {missing} answers are still missing, and the report tells the truth of all cases; '
            'serve it until all readers are done, or add --early, after which nobody should go on.'
        )
    if not any(sheet.answers for sheet in sheets):
        raise UserError(f'{study.folder}: nobody has answered yet; serve the study first.')
    answers = analysis.collect_answers(study.truth, sheets)
    result = measure_study(study.plan, answers)
    write_json(study.folder / NUMBERS_FILE, result.to_json())
    page = Page('Reader study: real or generated?')
    _add_conclusions(page, result)
    _add_readings(page, result)
    _add_curves(page, answers, study.folder)
    _add_agreement(page, result)
    _add_times(page, result)
    _add_worst(page, result, study)
    _add_method(page, result)
    page.write(study.folder / PAGE_FILE)
    return result


def _add_conclusions(page: Page, result: StudyResult) -> None:
    plan = result.plan
    page.paragraph(
        f'{plan.cases} cases, half of them generated, of which {plan.repeats} came twice; {plan.readers} '
        f'reader{"s" * (plan.readers > 1)}. Plan {plan.checksum[:16]}, fixed before the first answer.'
    )
    if not all(reader.complete for reader in result.readers):
        page.note(
            'This is an early look: not all answers were there. Who looks often finds too much by chance: '
            'claims are to be made from the complete study alone.'
        )
    page.section('What can be said of chance')
    for sentence in result.sentences:
        page.note(sentence)
    if 1 < plan.readers < _FEW_READERS:
        page.paragraph(
            f'What {plan.readers} readers say of other readers is little: the wide interval tells that.'
        )
    page.paragraph(
        f'A reader who guesses is found equivalent with a chance of '
        f'{equivalence_power(plan.cases, plan.margin, plan.alpha):.0%} by so many cases. Undecided is no proof of '
        'anything, neither that images are realistic nor that they are not. Levels are those of each sentence '
        'alone, not of all together.'
    )


def _add_readings(page: Page, result: StudyResult) -> None:
    page.section('Accuracy')
    rows = []
    for number, reader in enumerate(result.readers, start=1):
        rows.append([f'Reader {number}', *_cells(reader.reading)])
        rows += [[f'Reader {number}, {name}', *_cells(each)] for name, each in reader.by_class.items()]
    rows += [[f'mean, {_WHOM[name]}', *_cells(each)] for name, each in result.together.items()]
    rows += [[f'mean, {name}, for these readers', *_cells(each)] for name, each in result.by_class.items()]
    page.table(
        ['', 'cases', 'accuracy', 'sensitivity', 'specificity', 'area under ROC'],
        rows,
        f'Generated is positive. Intervals of {1 - result.plan.alpha:.0%}; repeated cases count at first sight.',
    )


def _cells(reading: Reading) -> list[str]:
    shares = (reading.accuracy, reading.sensitivity, reading.specificity)
    return [str(reading.cases), *(_tell(share, '{:.1%}') for share in shares), _tell(reading.area, '{:.3f}')]


def _add_curves(page: Page, answers: StudyAnswers, folder: Path) -> None:
    figure = create_figure(480, 480, layout='tight')
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='grey', linestyle=':')
    for number, confidence in enumerate(answers.confidence, start=1):
        known = confidence > 0
        if answers.generated[known].any() and not answers.generated[known].all():
            points = analysis.roc_points(confidence[known], answers.generated[known])
            axes.plot(*points.T, marker='o', label=f'Reader {number}')
    axes.set(xlabel='real ones called generated', ylabel='generated ones called generated')
    axes.legend()
    write_figure(figure, folder / FIGURES / 'roc.png')
    page.figure(folder / FIGURES / 'roc.png', 'ROC curves: a point for each limit on the scale of confidence.')


def _add_agreement(page: Page, result: StudyResult) -> None:
    page.section('Agreement')
    found = {f'Readers {first} and {second}': each for (first, second), each in result.agreement.items()}
    found |= {f'Reader {number}, again': each.own for number, each in enumerate(result.readers, start=1)}
    rows = [
        [f'{name}, {kind} cases', str(each.cases), _tell(each.same, '{:.1%}'), _tell_kappa(each)]
        for name, kinds in found.items()
        for kind, each in ((kind, kinds[kind]) for kind in KINDS)
    ]
    page.table(
        ['', 'cases', 'same call', "Cohen's kappa"],
        rows,
        'Of the calls, real or generated. Again: the same reader on repeated cases. 1 is perfect, 0 is chance.',
    )


def _add_times(page: Page, result: StudyResult) -> None:
    page.section('Time')
    rows = [
        [f'Reader {number}', *(_tell_quartiles(each.seconds[kind]) for kind in KINDS)]
        for number, each in enumerate(result.readers, start=1)
    ]
    page.table(['', *(f'{kind} cases' for kind in KINDS)], rows, 'Seconds a case: median, and quartiles.')


def _add_worst(page: Page, result: StudyResult, study: OpenStudy) -> None:
    page.section('Cases that misled everybody')
    for cases, name, told in (
        (result.fooled, 'fooled', 'Generated, and called real by all readers'),
        (result.missed, 'missed', 'Real, and called generated by all readers'),
    ):
        if not cases:
            page.paragraph(f'{told}: none.')
            continue
        shown = study.images[list(cases[:_SHOWN])].astype(np.float32) * (2 / (2**study.plan.bits - 1)) - 1
        path = study.folder / FIGURES / f'{name}.png'
        save_picture(draw_grid(shown, min(len(shown), 8), shown.shape[-1], 0), path)
        numbers = ', '.join(map(str, cases[:_SHOWN]))
        page.figure(path, f'{told}: {len(cases)}. The surest first, cases {numbers}.')


def _add_method(page: Page, result: StudyResult) -> None:
    plan = result.plan
    folder = plan.sources['generated']
    generated = f'drawn by {plan.sources["workdir"]}' if folder is None else f'from {folder}'
    page.section('How it was done')
    page.paragraph(
        f'Real images: one of each of {plan.cases // 2} patients of the split {plan.sources["split"]!r} of '
        f'{plan.sources["data"]!r}, on which the generator was not trained. Generated images: '
        f'{generated}, weights {plan.sources["weights_sha256"][:16]}. Both in {2**plan.bits} grey '
        'levels, of the same size and number of bytes, in an order of chance for each reader; readers knew that '
        f'half are generated. The scale, from 1 to {len(SCALE)}: {", ".join(SCALE)}.'
    )
    if not plan.sources['patients_known']:
        page.note('The data do not tell patients: each real image counts as one, and intervals may be too narrow.')
    page.paragraph(
        'Of one reader, shares have the interval of Clopper and Pearson, and the area under the ROC curve that of '
        "DeLong on its logarithm of odds. Means over readers have Obuchowski and Rockette's variance with Hillis' "
        'degrees of freedom: for other readers like these, readers and cases are drawn anew; for these readers, '
        'cases alone. Equivalence is claimed where the interval of accuracy at the level 1 - 2 alpha lies within '
        f'0.5 +- {plan.margin:g}: two one-sided tests at {plan.alpha:g}. Kappa has a jackknife over cases.'
    )


def _tell(share: ReadShare, form: str) -> str:
    if share.value is None:
        return 'none'
    ends = 'no interval' if share.interval is None else ' to '.join(map(form.format, share.interval))
    return f'{form.format(share.value)} ({ends})'


def _tell_kappa(agreement: CallAgreement) -> str:
    return f'none: it {agreement.reason}' if agreement.reason else _tell(agreement.kappa, '{:.2f}')


def _tell_quartiles(seconds: tuple[float, float, float] | None) -> str:
    return 'none' if seconds is None else '{1:.1f} ({0:.1f} to {2:.1f})'.format(*seconds)
