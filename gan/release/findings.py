"""What is known of a generator's privacy, as numbers and as a page: the gate's verdict, control and power."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundation.export.manifest import Release
from foundation.report.figures import create_figure, write_figure
from foundation.report.page import Page
from foundation.statistics.jackknife import Missing
from gan.release.control import MemberControl, needed_patients, sharpness
from gan.release.decision import Policy
from gan.release.membership import MembershipAttack
from gan.release.power import CopiesFound, CopiesPlanted

PAGE_FILE, FIGURE_FILE = 'privacy.html', 'control.png'
_SHARPNESSES = (0.05, 0.01, 0.001)
Control = MemberControl | Missing | None


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """All that was asked of one generator.

    Attributes:
      workdir, step: the run, and where in its training.
      policy: what a release must keep to.
      release: the gate's verdict and figures.
      attack: the membership attack.
      in_blocks, by_chance: the attack between parts of the training patients; None without an attack.
      unseen: the attack on held-out real images in place of generated ones; None without an attack.
      other: the attack on another generator, which never saw these patients; None where none was named.
      held_out: patients.
      copies: which altered copies the gate withholds.
      planted: what the attack says when copies are among the generated images.
    """

    workdir: str
    step: int
    policy: Policy
    release: Release
    attack: MembershipAttack
    in_blocks: Control
    by_chance: Control
    unseen: MembershipAttack | None
    other: MembershipAttack | None
    held_out: int
    copies: Sequence[CopiesFound]
    planted: Sequence[CopiesPlanted] | Missing

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON has them."""
        return {
            'workdir': self.workdir,
            'step': self.step,
            'verdict': self.release.verdict,
            'figures': dict(self.release.figures),
            'controls': {
                name: _encode_control(control, self.attack)
                for name, control in (('in_blocks', self.in_blocks), ('by_chance', self.by_chance))
            },
            'attacks': {
                name: _encode_attack(found) for name, found in (('unseen', self.unseen), ('other', self.other))
            },
            'held_out_patients': self.held_out,
            'needed_patients': needed_patients(self.attack, self.held_out, self.policy.largest_area),
            'copies': [dataclasses.asdict(each) for each in self.copies],
            'planted': (
                {'reason': self.planted.reason}
                if isinstance(self.planted, Missing)
                else [dataclasses.asdict(each) for each in self.planted]
            ),
        }


def describe(findings: Findings) -> Iterator[str]:
    """What was found, in a few lines."""
    yield f'Release gate: {findings.release.verdict}.'
    for reason in findings.release.figures['reasons']:
        yield f'  {reason}'
    yield f'Membership attack: {_tell(findings.attack)} (0.5 is chance). {explain(findings)}'
    best, worst = (choose(findings.copies, key=lambda each: each.share) for choose in (max, min))
    yield (
        f'Copies of training images that it would withhold: from {worst.share:.0%} ({worst.kind}) to '
        f'{best.share:.0%} ({best.kind}).'
    )


def explain(findings: Findings) -> str:
    """What the control says of the attack, in one or two sentences."""
    area, control = findings.attack.area, findings.in_blocks
    if isinstance(area, Missing) or not isinstance(control, MemberControl):
        return 'No control could be made.'
    low, high = control.middle()
    between = f'Between parts of the training patients alone it finds {low:.2f} to {high:.2f}'
    share = control.share_as_high(area.value)
    if area.interval()[0] <= 0.5:
        return f'{between}.'
    if share > 0.05:
        return (
            f'{between}, in {share:.0%} of the cuts as much as here: a difference between the splits may explain '
            'it. That is no proof that nothing is remembered, and the verdict stays.'
        )
    return (
        f'{between}, in {share:.1%} of the cuts as much as here: a difference between splits does not explain it.'
    )


def write_page(findings: Findings, folder: Path) -> None:
    """Writes the page, and its figure beside it."""
    page = Page(f'What the release gate can tell of {findings.workdir}')
    page.paragraph(
        f'Generator of step {findings.step}. For whoever decides if synthetic images may leave the house: what '
        'was asked, what was found, and what such tests cannot exclude. All intervals are of 95%, over patients.'
    )
    page.section('Verdict')
    page.note(f'Release gate: {findings.release.verdict}.')
    for reason in findings.release.figures['reasons']:
        page.paragraph(reason[0].upper() + reason[1:] + '.')
    _add_nearest(page, findings)
    _add_attack(page, findings, folder)
    _add_needs(page, findings)
    _add_limits(page)
    page.write(folder / PAGE_FILE)


def _add_nearest(page: Page, findings: Findings) -> None:
    figures, policy = findings.release.figures, findings.policy
    page.section('Is an image too near to a patient?')
    page.paragraph(
        'Each generated image is compared with every training image, in pixels and in features '
        f'({figures["extractor"]["name"]}). It is withheld where it is nearer to one than '
        f'{1 - policy.quantile:.0%} of {findings.held_out} real patients are who were not in training. '
        f'{figures["withheld"]} of {figures["candidates"]} images were withheld; at most '
        f'{policy.largest_withheld:.0%} may be.'
    )
    page.table(
        ['a copy of a training image', 'would be withheld', '95% interval', 'copies'],
        [
            [each.kind, f'{each.share:.0%}', _range(each.interval, '{:.0%}'), str(each.count)]
            for each in findings.copies
        ],
        'Copies of training images, an image a patient, altered and put before the gate. Beside them '
        f'{policy.quantile:.1%} of real patients would be withheld.',
    )


def _add_attack(page: Page, findings: Findings, folder: Path) -> None:
    page.section('Can somebody tell who was in training?')
    page.paragraph(
        'An attacker who has the generator looks how near its images come to a patient, less how near other '
        'real images come. The area under the curve is the chance that a patient of the training scores higher '
        'than one who was held out: 0.5 is guessing, 1 is certainty, and so is 0 for whoever turns the answers '
        f'round. The release fails where it may be above {findings.policy.largest_area:g}, or as far below 0.5.'
    )
    rows = [['this generator, training against held-out patients', _tell(findings.attack)]]
    for control, name in ((findings.in_blocks, 'neighbours'), (findings.by_chance, 'drawn by chance')):
        rows.append([f'control: between parts of the training patients, {name}', _tell_control(control)])
    rows.append(['control: held-out real images in place of generated ones', _tell(findings.unseen)])
    if findings.other is not None:
        rows.append(['control: a generator that never saw these patients', _tell(findings.other)])
    page.table(['attack', 'area'], rows, 'Of controls between parts: where 95% of the areas lie.')
    page.note(explain(findings))
    page.paragraph(
        'Neighbours are patients whose names follow each other, as those of a site or a month do: the control '
        'that fits where splits follow folders, sites or time. Where patients were dealt out by chance, the other '
        'one fits. A control explains a failure; it makes none a pass.'
    )
    if isinstance(findings.in_blocks, MemberControl) and not isinstance(findings.attack.area, Missing):
        _draw_control(findings.in_blocks, findings.attack.area.value, folder / FIGURE_FILE)
        page.figure(
            folder / FIGURE_FILE, 'Areas between parts of the training patients; the line is this generator.'
        )
    if isinstance(findings.planted, Missing):
        page.note(f'Nothing could be planted: the attack {findings.planted.reason}')
        return
    page.table(
        ['copies among its images', 'area', 'release fails'],
        [[f'{each.share:.1%}', f'{each.area:.3f}', f'{each.fails:.0%}'] for each in findings.planted],
        'The same attack when a share of the generated images are copies of training images: an average moves '
        'little by few copies, for which the first question is asked.',
    )


def _add_needs(page: Page, findings: Findings) -> None:
    page.section('How many held-out patients it takes')
    page.table(
        ['real patients that are withheld', 'held-out patients needed'],
        [[f'{share:.1%}', str(round(1 / share) - 1)] for share in _SHARPNESSES],
        f'With {findings.held_out} the smallest share is {sharpness(findings.held_out):.1%}: what the gate says '
        'of one image cannot be sharper.',
    )
    needed = needed_patients(findings.attack, findings.held_out, findings.policy.largest_area)
    if needed is not None:
        page.paragraph(
            f'For the interval of the attack to end at {findings.policy.largest_area:g} around 0.5, about '
            f'{needed} held-out patients are needed; here were {findings.held_out}.'
        )


def _add_limits(page: Page) -> None:
    page.section('What this cannot exclude')
    for text in (
        'A feature of a person that is spread over several images, or that none of the measures sees.',
        'Copies of a kind that the table above finds seldom, or that is not in it.',
        'Attackers who know more: part of the training data, the training itself, or other images of a patient.',
        'Harm without memory: images that are wrong, or that say something of a group of patients.',
    ):
        page.paragraph(text)
    page.paragraph(
        'The gate is a screen, not a proof. It does not make personal data anonymous by law; people decide that.'
    )


def _draw_control(control: MemberControl, area: float, path: Path) -> None:
    figure = create_figure(640, 320, layout='tight')
    axes = figure.subplots()
    axes.hist(control.areas, bins=30, color='#7a9cc6')
    axes.axvline(area, color='#b03030')
    axes.axvline(0.5, color='#777777', linestyle=':')
    axes.set_xlabel('area under the curve')
    axes.set_ylabel('cuts')
    write_figure(figure, path)


def _tell(found: MembershipAttack | None) -> str:
    if found is None:
        return 'none'
    if isinstance(found.area, Missing):
        return f'none: it {found.area.reason}'
    return f'{found.area.value:.3f} {_range(found.area.interval(), "{:.3f}")}'


def _tell_control(control: Control) -> str:
    if isinstance(control, MemberControl):
        return f'{control.areas.mean():.3f} {_range(control.middle(), "{:.3f}")}, {len(control.areas)} cuts'
    return 'none' if control is None else f'none: it {control.reason}'


def _range(ends: tuple[float, float] | None, form: str) -> str:
    return 'unknown' if ends is None else f'[{form.format(ends[0])}, {form.format(ends[1])}]'


def _encode_attack(found: MembershipAttack | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if isinstance(found.area, Missing):
        return {'value': None, 'interval': None, 'reason': found.area.reason}
    return {'value': found.area.value, 'interval': list(found.area.interval()), 'reason': None}


def _encode_control(control: Control, found: MembershipAttack) -> dict[str, Any] | None:
    if not isinstance(control, MemberControl):
        return None if control is None else {'reason': control.reason}
    value = None if isinstance(found.area, Missing) else control.share_as_high(found.area.value)
    return {
        'mean': float(control.areas.mean()),
        'middle': list(control.middle()),
        'share_as_high': value,
        'areas': control.areas.tolist(),
    }
