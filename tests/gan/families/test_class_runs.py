"""A run between classes, through the loop of every run, with the smallest networks: contrasts of drawn heads."""

import dataclasses
import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from backbones.images import read_facts
from foundation.export.manifest import read_manifest
from foundation.training.errors import UserError
from gan.domains import read_domains
from gan.families import FAMILIES
from gan.recipe import create_recipe
from gan.reporting.runs import read_runs
from gan.reporting.sections import write_report
from gan.train import train_and_evaluate
from gan.translation import classes as class_evaluation
from gan.translation import pairs
from gan.translation.classes import (
    describe_classes,
    draw_worst,
    evaluate_classes,
    load_classifier,
    tabulate_classes,
)
from gan.translation.folder import translate_all
from gan.translation.samples import find_others
from gan.translation.translator import Translator
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.phantom import ContrastOptions, scan_contrasts
from input_pipeline.records import PIXEL_LIMIT, reader_options
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.families import small, translators
from tests.input_pipeline.items import write

SIDE, END = 8, 6 * small.BATCH
NAMES = ('CT', 'T1', 'T2')


def _create(sections, shared):
    assert shared['num_classes'] == len(NAMES)
    return translators.create_networks('stargan', SIDE)


def _config(data_dir, **changes):
    config = small.small_config(
        'stargan',
        side=SIDE,
        data__name='heads',
        data__data_dir=str(data_dir),
        data__window='dataset',
        run__log_images=small.BATCH,
        run__sample_images=END,
        run__checkpoint_images=small.BATCH,
        run__checkpoints_to_keep=100,
        samples__rows=2,
        samples__columns=8,
        schedule__fade_images=0,
        schedule__stable_images=END,
        watch__images=END,
        watch__samples=16,
        loss__name='wasserstein',
        loss__penalty='gradient',
        optimizer__discriminator_steps=2,
    )
    config.update_from_flattened_dict({name.replace('__', '.'): value for name, value in changes.items()})
    return config


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The folder of a run that was never stopped, and of one that was between two updates of the translator."""
    folder, patch = tmp_path_factory.mktemp('runs'), pytest.MonkeyPatch()
    write(scan_contrasts(ContrastOptions(60, SIDE, NAMES, (1.0,), 5, 2, 'contrast')), folder / 'data', 'heads')
    patch.setitem(FAMILIES, 'stargan', dataclasses.replace(FAMILIES['stargan'], create=_create))
    config = _config(folder / 'data')
    with patch.context():
        train_here(train_and_evaluate, config, folder / 'whole')
        train_here(train_and_evaluate, config, folder / 'stopped')
        for step in (folder / 'stopped' / 'checkpoints').iterdir():
            if int(step.name) > 3:
                shutil.rmtree(step)
        train_here(train_and_evaluate, config, folder / 'stopped')
        yield folder
    patch.undo()


def test_a_run_goes_on_bit_for_bit(runs):
    one, other = (saved_state(runs / name / 'checkpoints', END // small.BATCH) for name in ('whole', 'stopped'))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_next_command_names_a_class(runs, capsys):
    train_here(train_and_evaluate, _config(runs / 'data'), runs / 'whole')
    out = runs / 'whole' / 'translated'
    assert f'gan.translate --workdir={runs / "whole"} --out={out} --to=CT PATHS' in capsys.readouterr().out


def test_a_report_shows_nothing_that_is_drawn_from_latents(runs, tmp_path):
    text = write_report(read_runs([runs / 'whole']), tmp_path).read_text()
    assert 'of the same source images throughout' in text
    assert 'latents' not in text
    assert 'no checkpoint' not in text
    assert text.index('Curves') < text.index('Papers')


def test_a_grid_shows_every_class_that_each_image_becomes(runs):
    lines = logged_metrics(runs / 'whole')
    logged = {name for line in lines for name in line}
    assert {'cycle_loss', 'real_class_loss', 'fake_class_loss', 'penalty'} <= logged
    assert any('distance' in line for line in lines)
    (grid,) = (runs / 'whole' / 'samples').glob('*.png')
    with Image.open(grid) as picture:
        assert picture.size == (2 * (1 + len(NAMES)) * 64, 14 + 2 * 64)


def test_what_is_watched_was_of_another_class():
    labels = np.asarray([0, 2, 1, 0, 0, 1, 2])
    others = find_others(labels)
    assert sorted(others) == [*range(7)]
    assert (labels[others] != labels).all()
    many = np.asarray([0, 0, 0, 1])
    assert sorted(find_others(many)) == [0, 1, 2, 3]


def test_each_class_is_a_domain_in_one_window(runs):
    for name, modality in zip(NAMES, ('CT', 'MR', 'MR'), strict=True):
        source, target = read_domains(runs / 'whole', name)
        assert source.window == target.window == read_facts(runs / 'whole').intensity
        assert (source.modality, target.modality) == ('unknown', modality)
        assert 3 * target.facts.num_examples == source.facts.num_examples
    for to, told in ((None, 'no class to translate to is named'), ('PD', "there is no class 'PD'")):
        with pytest.raises(UserError, match=rf'{told}; give one of CT, T1, T2 \(--to'):
            read_domains(runs / 'whole', to)


def test_files_become_the_class_that_is_asked_for(runs, tmp_path):
    low, high = read_facts(runs / 'whole').intensity
    values = np.random.default_rng(0).uniform(low, high, (SIDE, SIDE, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / 'in.nii.gz')
    drawn = {}
    for name in NAMES:
        translator, out = Translator.load(runs / 'whole', None, best=False, to=name), tmp_path / name
        found = find_incoming([tmp_path / 'in.nii.gz'], reader_options(2, PIXEL_LIMIT), Refusals(skip=False))
        translate_all(found, translator, out, {'to': name}, Refusals(skip=False))
        drawn[name] = nib.load(out / 'images/in.nii.gz').get_fdata()
        assert read_manifest(out)['translation']['target']['modality'] == translator.target.modality
        unit = np.moveaxis(2 * (values - low) / (high - low) - 1, 2, 0)[..., None].astype(np.float32)
        expected = np.moveaxis(translator.translate_squares(unit)[..., 0], 0, 2)
        expected = low + (expected + 1) / 2 * (high - low)
        np.testing.assert_allclose(drawn[name], expected, atol=0.6)
    assert np.abs(drawn['CT'] - drawn['T1']).max() > 10


@pytest.fixture(scope='module')
def unchanged(runs):
    """Translators that change nothing."""
    loaded = {name: Translator.load(runs / 'whole', None, best=False, to=name) for name in NAMES}
    return {
        name: dataclasses.replace(own, translate_squares=lambda images: images) for name, own in loaded.items()
    }


def test_all_directions_are_measured_by_pairs_and_by_a_classifier(unchanged, monkeypatch):
    monkeypatch.setattr(pairs, '_RESAMPLES', 500)

    def name(images):
        """CT is dark outside the head; half of the rest is called T1, whatever it is."""
        is_ct = images[:, 0, 0, 0] < -0.9
        return np.where(is_ct, 0, 1 + np.arange(len(images)) % 2)

    report = evaluate_classes(unchanged, 'test', name)
    assert [*report.pairs] == ['CT to T1', 'CT to T2', 'T1 to CT', 'T1 to T2', 'T2 to CT', 'T2 to T1']
    for own in report.pairs.values():
        assert own.scores['translated']['error'].value == own.scores['identity']['error'].value > 0
    said = {method: {place: mean.value for place, mean in own.items()} for method, own in report.named.items()}
    assert said['real'] == {'all': pytest.approx(200 / 3), 'CT': 100, 'T1': 50, 'T2': 50}
    assert said['translated'] == said['identity']
    assert (said['identity']['CT to T1'], said['identity']['T1 to T2'], said['identity']['T1 to CT']) == (0, 50, 0)
    assert said['identity']['all'] == pytest.approx(100 / 6)
    described = describe_classes(report)
    assert described['directions']['CT to T1']['patients'] == report.pairs['CT to T1'].patients
    assert described['named']['real']['CT']['value'] == 100
    assert 'T2 to CT:' in tabulate_classes(report)
    assert [*draw_worst(report)][:2] == ['worst_01_CT_to_T1.png', 'worst_02_CT_to_T2.png']
    assert len(draw_worst(report)) == 6


def test_directions_without_pairs_say_so(unchanged, monkeypatch):
    def refuse(*arguments):
        raise input_pipeline.NoPairsError('no image has its counterpart.')

    monkeypatch.setattr(class_evaluation, 'evaluate_pairs', refuse)
    report = evaluate_classes(unchanged, 'test', None)
    assert {own['reason'] for own in describe_classes(report)['directions'].values()} == {
        'no image has its counterpart.'
    }
    assert 'name a classifier by --extractor' in tabulate_classes(report)
    assert draw_worst(report) == {}


def test_a_classifier_of_other_classes_or_windows_is_refused(runs, tmp_path, monkeypatch):
    facts = read_facts(runs / 'whole')
    facts.write(tmp_path)

    def restore(workdir):
        return dataclasses.make_dataclass('Extractor', ['classes', 'extract', 'variables'])(names, None, None)

    monkeypatch.setattr(class_evaluation, 'restore_classifier', restore)
    names = ('CT', 'PD')
    with pytest.raises(UserError, match='knows CT, PD, and the run CT, T1, T2'):
        load_classifier(tmp_path, facts)
    names = NAMES
    with pytest.raises(UserError, match='in another window than the run'):
        load_classifier(tmp_path, dataclasses.replace(facts, intensity=(0.0, 1.0)))


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        ({'data__classes': ('CT',)}, UserError, "only the class 'CT', and images are translated between two"),
        ({'data__window': 'volume'}, input_pipeline.DataError, 'images have a window each'),
    ],
)
def test_data_that_cannot_be_translated_are_refused(runs, changes, error, message):
    with pytest.raises(error, match=message):
        create_recipe(_config(runs / 'data', **changes)).open_training()
