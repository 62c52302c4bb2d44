"""`python -m gan.evaluate --workdir=DIR --extractor=CLASSIFIER_DIR` measures a trained generator.

All scores come with a 95% interval, the floor (held-out real images in place of generated ones), the number of
images and the extractor; a score that cannot be computed says why. `--against=DIR2` measures a second run on the
same real images, and the difference of the two with its interval. Writes report.json and a page with pictures.

A run that translates is measured on pairs, whose truth is known, beside what needs no network. Where it does so
between classes, --extractor is a classifier of them: are images what they should be?
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

import input_pipeline
from backbones.grids import save_picture
from backbones.images import read_facts
from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.evaluation.evaluation import GeneratorProtocol, evaluate
from gan.evaluation.extractors import RADIOMICS, RANDOM, create_extractor, suggest_training
from gan.evaluation.page import PAGE_FILE
from gan.evaluation.report import REPORT_FILE, check_folder, create_report, write_evaluation
from gan.evaluation.tables import print_scores
from gan.generator import check_checkpoint, read_recipe
from gan.recipe import GanRecipe
from gan.translation.classes import (
    describe_classes,
    draw_worst,
    evaluate_classes,
    load_classifier,
    tabulate_classes,
)
from gan.translation.pairs import (
    check_unseen,
    describe_pairs,
    evaluate_pairs,
    list_methods,
    request_pairs,
    tabulate_pairs,
)
from gan.translation.translator import Translator
from gan.translation.worst import COLUMNS
from gan.weights import check_apart

_AGAINST = flags.DEFINE_string('against', None, 'Workdir of a second run on the same data.')
_EXTRACTOR = flags.DEFINE_string(
    'extractor',
    None,
    'Workdir of backbones.main (an encoder without labels, or a classifier), KIND=FILE with weights '
    f'(inception, ...), {", ".join(RADIOMICS)}, {RANDOM}.',
)
_NUM = flags.DEFINE_integer('num', 10_000, 'Generated images.', 2, 10_000_000)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the generated images.', 0, 2**32 - 1)
_REFERENCE = flags.DEFINE_string('reference', 'train', 'Split of real images to compare with.')
_HELD_OUT = flags.DEFINE_string('held_out', 'test', 'Split that training has not seen, for the floor.')
_PAIRS = flags.DEFINE_list(
    'pairs', [], 'Of a run that translates: SOURCE,TARGET, data sets whose pairs are measured in place of its own.'
)
_SEGMENTER = flags.DEFINE_string(
    'segmenter', None, 'Of a run that draws masks: workdir of segment.main, which is asked whether they fit.'
)
_STEP = flags.DEFINE_integer('step', None, 'Checkpoint to use; the newest by default.')
_BEST = flags.DEFINE_bool('best', False, 'Use the checkpoint with the shortest distance to real images.')
_BATCH = flags.DEFINE_integer('batch_size', 128, 'Images at a time.', 1, 65_536)
_OUT = flags.DEFINE_string('out', None, 'Folder for report.json and the page; by default WORKDIR/evaluation.')

flags.adopt_module_key_flags(launch)


def main(argv: Sequence[str]) -> None:
    """Measures one run, or two side by side."""
    launch.reject_arguments(argv)
    workdir = launch.workdir()
    launch.start_jax_alone('gan.evaluate')
    check_checkpoint(_STEP.value, best=_BEST.value)
    recipe = read_recipe(workdir)
    if recipe.family.translates:
        _evaluate_translator(workdir, recipe)
        return
    if not _EXTRACTOR.value:
        raise UserError(
            '--extractor is missing; train one on these images, and name its workdir: '
            f'{suggest_training(recipe.images, workdir)} (or take --extractor={RANDOM}, which flatters).'
        )
    out = Path(_OUT.value) if _OUT.value else workdir / 'evaluation'
    check_apart(workdir, out)
    check_folder(out)
    folders = [workdir] if _AGAINST.value is None else [workdir, Path(_AGAINST.value)]
    protocol = GeneratorProtocol(
        count=_NUM.value,
        seed=_SEED.value,
        reference=_REFERENCE.value,
        held_out=_HELD_OUT.value,
        step=_STEP.value,
        best=_BEST.value,
        batch_size=_BATCH.value,
        segmenter=Path(_SEGMENTER.value) if _SEGMENTER.value else None,
    )
    extractor = create_extractor(_EXTRACTOR.value)
    reals, evaluated = evaluate(folders, extractor, protocol)
    report = create_report(reals, evaluated, extractor, protocol)
    write_evaluation(out, report, reals, evaluated)
    print_scores(report)
    print(f'Numbers: {out / REPORT_FILE}   page: {out / PAGE_FILE}')
    print('The page shows training images: treat it as you treat them.')
    if _EXTRACTOR.value == RANDOM:
        print('Random features flatter: they hardly see blur. Features of your own images do, and need no labels:')
        print(f'      {suggest_training(recipe.images, workdir)}')
    if len(folders) == 1:
        print(f'Next: {launch.python()} -m gan.generate --workdir={workdir} --num=1000 --out={out.parent}/release')


def _evaluate_translator(workdir: Path, recipe: GanRecipe) -> None:
    """Measures a run that translates, where the truth is known: by pairs, and by classes where it has several."""
    if _PAIRS.value and (recipe.target is None or len(_PAIRS.value) != 2):
        raise UserError(
            f'--pairs={",".join(_PAIRS.value)}: name two data sets, SOURCE,TARGET, of a run between two domains.'
        )
    if (
        _SEGMENTER.value is not None
        or _AGAINST.value is not None
        or (recipe.target is not None and _EXTRACTOR.value is not None)
    ):
        raise UserError(
            f'{workdir} holds a run that translates images, which is measured on pairs of the split --held_out; '
            'leave --against and --segmenter out, and --extractor where it has no classes.'
        )
    out = Path(_OUT.value) if _OUT.value else workdir / 'evaluation'
    check_folder(out)
    if recipe.target is not None:
        translator = Translator.load(workdir, _STEP.value, best=_BEST.value)
        learnt = measured = recipe.images, recipe.target
        if _PAIRS.value:
            measured = request_pairs(translator, _PAIRS.value)
            check_unseen(translator, measured, _HELD_OUT.value)
        pairs = evaluate_pairs(translator, list_methods(translator, learnt), measured, _HELD_OUT.value)
        described, told, pictures = describe_pairs(pairs), tabulate_pairs(pairs), {'worst.png': pairs.worst}
    else:
        facts = read_facts(workdir)
        name = load_classifier(Path(_EXTRACTOR.value), facts) if _EXTRACTOR.value else None
        translators = {to: Translator.load(workdir, _STEP.value, best=_BEST.value, to=to) for to in facts.classes}
        classes = evaluate_classes(translators, _HELD_OUT.value, name)
        described, told, pictures = describe_classes(classes), tabulate_classes(classes), draw_worst(classes)
    workdirs.write_json(out / REPORT_FILE, described)
    for file, picture in pictures.items():
        save_picture(picture, out / file)
    print(told)
    print(f'Numbers: {out / REPORT_FILE}')
    if pictures:
        print(f'The worst pairs first, {", ".join(COLUMNS)}: {", ".join(str(out / file) for file in pictures)}')


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
