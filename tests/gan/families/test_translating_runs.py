"""Runs that translate images, through the loop of every run, with the smallest networks."""

import dataclasses
import itertools
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

import input_pipeline
from foundation.export.manifest import read_manifest
from foundation.training.errors import UserError
from gan import verify
from gan.domains import read_domains
from gan.families import FAMILIES
from gan.generator import TrainedGenerator
from gan.train import train_and_evaluate
from gan.translation.folder import translate_all
from gan.translation.pairs import (
    check_unseen,
    describe_pairs,
    evaluate_pairs,
    list_methods,
    request_pairs,
    tabulate_pairs,
)
from gan.translation.translator import Translator
from gan.translation.windows import in_windows, starts_of
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.phantom import ContrastOptions, scan_contrasts
from input_pipeline.readers import dicom
from input_pipeline.records import PIXEL_LIMIT, ReaderOptions
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import read_files
from tests.gan.families import small, translators
from tests.input_pipeline import series
from tests.input_pipeline.items import write

SIDE, END = 8, 6 * small.BATCH
OPTIONS = ReaderOptions(modality='', percentiles=(0.5, 99.5), pixel_limit=PIXEL_LIMIT, axis=2, patient_pattern='')


def _create(sections, shared):
    return translators.create_networks('cyclegan', SIDE, sections['discriminator']['pool'])


def _config(architecture, data_dir):
    config = small.small_config(
        architecture,
        side=SIDE,
        data__name='phantom_domains',
        data__data_dir=str(data_dir),
        data__modalities=('CT',),
        data__window='dataset',
        data__pixels='as_stored',
        target__modalities=('MR',),
        target__window='physical',
        target__window_range=(0.0, 1500.0),
        run__log_images=small.BATCH,
        run__sample_images=END,
        run__checkpoint_images=small.BATCH,
        run__checkpoints_to_keep=100,
        samples__rows=3,
        samples__columns=6,
        schedule__fade_images=0,
        schedule__stable_images=END,
        watch__images=END,
        watch__samples=16,
        anneal__images=END,
        anneal__shape='linear',
        anneal__constant=0.5,
        anneal__learning_rate=0.0,
    )
    config.data.phantom.update({'count': 48, 'size': SIDE, 'modalities': ('CT', 'MR')})
    return config


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The folder of a run of CycleGAN of CT to MR that was never stopped, and of one that was, and went on."""
    folder, patch = tmp_path_factory.mktemp('runs'), pytest.MonkeyPatch()
    patch.setitem(FAMILIES, 'cyclegan', dataclasses.replace(FAMILIES['cyclegan'], create=_create))
    config = _config('cyclegan', folder / 'data')
    with patch.context():
        train_here(train_and_evaluate, config, folder / 'whole')
        train_here(train_and_evaluate, config, folder / 'stopped')
        for step in (folder / 'stopped' / 'checkpoints').iterdir():
            if int(step.name) > END // 2 // small.BATCH:
                shutil.rmtree(step)
        train_here(train_and_evaluate, config, folder / 'stopped')
        yield folder
    patch.undo()


@pytest.mark.slow
def test_a_run_with_a_pool_goes_on_bit_for_bit(runs):
    one, other = (saved_state(runs / name / 'checkpoints', END // small.BATCH) for name in ('whole', 'stopped'))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    pools = [name for name in one if 'pool' in name and 'images' in name]
    assert len(pools) == 2
    assert all(np.abs(one[name]).max(axis=(1, 2, 3)).min() > 0 for name in pools)  # full: no image is empty


def test_a_translating_run_watches_shows_its_images_and_draws_none(runs):
    lines = logged_metrics(runs / 'whole')
    assert {'cycle_loss', 'identity_loss', 'inverse_generator_loss'} <= lines[0].keys()
    assert any('distance' in line for line in lines)
    (grid,) = (runs / 'whole' / 'samples').glob('*.png')
    with Image.open(grid) as picture:
        assert picture.size == (6 * 64, 3 * 64)
    source, target = read_domains(runs / 'whole', None)
    assert target.window == (0.0, 1500.0) != source.window
    assert (source.modality, target.modality) == ('CT', 'MR')
    with pytest.raises(UserError, match='to one kind of images alone; leave --to out'):
        read_domains(runs / 'whole', 'MR')
    with pytest.raises(UserError, match='a run of cyclegan, whose generator translates images and draws none'):
        TrainedGenerator.load(runs / 'whole')


def test_pairs_that_are_none_are_refused(runs, tmp_path):
    with pytest.raises(input_pipeline.DataError, match='has its counterpart in'):
        train_here(train_and_evaluate, _config('pix2pix', runs / 'data'), tmp_path / 'run')


@pytest.fixture(scope='module')
def translator(runs):
    """That of the run, but for a network that changes nothing: values move from one window to the other."""
    loaded = Translator.load(runs / 'whole', None, best=False)
    images = np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 1)).astype(np.float32)
    drawn = loaded.translate_squares(images)
    assert drawn.shape == images.shape
    assert np.abs(drawn - images).max() > 1e-3
    return dataclasses.replace(loaded, translate_squares=lambda images: images)


def _expected(translator, values):
    """Of values in the units of the source, in those of the target."""
    low, high = translator.source.window
    return 1500 * np.clip((values - low) / (high - low), 0, 1)


def _translate(translator, paths, out):
    refusals = Refusals(skip=True)
    found = find_incoming(paths, OPTIONS, refusals)
    return translate_all(found, translator, out, {'step': None}, refusals), refusals


def test_volumes_keep_their_geometry_and_get_the_units_of_the_target(translator, tmp_path):
    values = np.random.default_rng(1).integers(-1000, 2500, (SIDE, 6, 5)).astype(np.int16)
    affine = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, -3, 30], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(values, affine)
    image.header['descrip'] = b'Jane Doe'
    nib.save(image, tmp_path / 'in.nii.gz')
    itk = pytest.importorskip('SimpleITK')
    for suffix in ('nrrd', 'mha'):
        volume = itk.GetImageFromArray(values.T)
        volume.SetSpacing((0.5, 0.75, 2.0))
        volume.SetOrigin((3.0, -4.0, 5.0))
        itk.WriteImage(volume, str(tmp_path / f'{suffix}_in.{suffix}'))
    rows, refusals = _translate(translator, [*tmp_path.iterdir()], tmp_path / 'out')
    assert (len(rows), refusals.reasons) == (3, {})
    read = nib.load(tmp_path / 'out/images/in.nii.gz')
    np.testing.assert_array_equal(read.affine, affine)
    np.testing.assert_allclose(read.get_fdata(), _expected(translator, values), atol=0.2)
    assert b'Jane' not in read.header['descrip'].tobytes()
    for suffix in ('nrrd', 'mha'):
        volume = itk.ReadImage(str(tmp_path / f'out/images/{suffix}_in.{suffix}'))
        assert (volume.GetSpacing(), volume.GetOrigin()) == ((0.5, 0.75, 2.0), (3.0, -4.0, 5.0))
        np.testing.assert_allclose(itk.GetArrayFromImage(volume).T, _expected(translator, values), atol=0.2)


def test_a_series_becomes_a_derived_series_of_the_same_patient_and_place(translator, tmp_path):
    values, places = series.random_values(3, SIDE, 6, seed=2), [0.0, 3.0, 6.0]
    files = series.save_series(tmp_path / 'in', values, places)
    rows, refusals = _translate(translator, [tmp_path / 'in'], tmp_path / 'out')
    assert refusals.reasons == {}
    written = [pydicom.dcmread(tmp_path / 'out' / name) for name in rows[0]['written']]
    sources = [pydicom.dcmread(file) for file in files]
    assert len({own.SOPInstanceUID for own in (*written, *sources)}) == 6
    assert len({own.SeriesInstanceUID for own in (*written, *sources)}) == 2
    for place, own, source, hounsfield in zip(places, written, sources, values - 1024.0, strict=True):
        assert (own.PatientID, str(own.PatientName)) == ('4711', str(source.PatientName))
        assert (own.StudyInstanceUID, own.FrameOfReferenceUID) == ('1.2.3', '1.2.3.5')
        assert (own.SyntheticData, own.ImageType[0], own.Modality) == ('YES', 'DERIVED', 'MR')
        assert own.SOPClassUID == pydicom.uid.MRImageStorage
        (reference,) = own.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert own.DerivationCodeSequence[0].CodeMeaning == 'Translation by a neural network'
        assert 'BurnedInAnnotation' not in own  # nor does the source tell
        assert list(own.PixelSpacing) == list(series.SPACING)
        np.testing.assert_allclose(own.ImageOrientationPatient, series.TILTED, atol=1e-9)
        np.testing.assert_allclose(own.ImagePositionPatient, series.expected_place(place, 0, 0), atol=1e-6)
        physical = own.pixel_array * float(own.RescaleSlope) + float(own.RescaleIntercept)
        np.testing.assert_allclose(physical, _expected(translator, hounsfield), atol=0.2)
    again, _ = _translate(translator, [tmp_path / 'in'], tmp_path / 'again')
    assert read_files(tmp_path / 'again') == read_files(tmp_path / 'out')
    assert [row['written'] for row in again] == [row['written'] for row in rows]


def test_a_slice_that_cannot_be_read_is_told_again_after_a_stop(translator, tmp_path, monkeypatch):
    for name in ('a', 'b'):
        series.save_series(tmp_path / 'in' / name, series.random_values(3, SIDE, SIDE), [0.0, 3.0, 6.0])
    read_images, shown = dicom.read_images, []

    def read_whole(root, member, options):
        if str(member.relative) == 'a/01.dcm':
            raise input_pipeline.DataError('its pixels cannot be decoded')
        return read_images(root, member, options)

    def stopped(images):
        shown.append(len(images))
        if len(shown) == 2:
            raise KeyboardInterrupt
        return images

    monkeypatch.setattr(dicom, 'read_images', read_whole)
    with pytest.raises(KeyboardInterrupt):
        _translate(dataclasses.replace(translator, translate_squares=stopped), [tmp_path / 'in'], tmp_path / 'out')
    rows, refusals = _translate(translator, [tmp_path / 'in'], tmp_path / 'out')
    assert [row['slices'] for row in rows] == [2, 3]
    assert list(refusals.reasons) == ['a/01.dcm']
    assert read_manifest(tmp_path / 'out')['refused'] == refusals.reasons


def test_volumes_of_one_series_and_other_targets_get_series_of_their_own(translator, tmp_path):
    """Two images at each place of a series are two volumes; a network of several classes makes several of each."""
    series.save_series(tmp_path / 'in', series.random_values(6, SIDE, SIDE), [0.0, 3.0, 6.0] * 2)
    other = dataclasses.replace(translator, target=dataclasses.replace(translator.target, name='T2'))
    found = set()
    for own, name in ((translator, 'one'), (other, 'other')):
        rows, refusals = _translate(own, [tmp_path / 'in'], tmp_path / name)
        assert ([row['slices'] for row in rows], refusals.reasons) == ([3, 3], {})
        for row in rows:
            written = [pydicom.dcmread(tmp_path / name / file) for file in row['written']]
            assert len({image.SeriesInstanceUID for image in written}) == 1
            found |= {(image.SeriesInstanceUID, image.SOPInstanceUID) for image in written}
    assert (len({uid for uid, _ in found}), len({uid for _, uid in found})) == (4, 12)
    assert written[0].SeriesDescription == 'T2: Translated by a neural network'


def test_ct_is_in_hounsfield_units_in_a_window_above_water_too(translator, tmp_path):
    facts = dataclasses.replace(translator.target.facts, intensity=(0.0, 80.0), lowest=-1024.0)
    brain = dataclasses.replace(
        translator, target=dataclasses.replace(translator.target, facts=facts, modality='CT')
    )
    series.save_series(tmp_path / 'in', series.random_values(2, SIDE, SIDE), [0.0, 3.0])
    nib.save(nib.Nifti1Image(series.random_values(SIDE, SIDE, 2), np.eye(4)), tmp_path / 'in.nii.gz')
    rows, _ = _translate(brain, [tmp_path / 'in', tmp_path / 'in.nii.gz'], tmp_path / 'out')
    (image,) = [pydicom.dcmread(tmp_path / 'out' / row['written'][0]) for row in rows if row['kind'] == 'dicom']
    assert (image.RescaleType, image.RescaleIntercept) == ('HU', 0)
    assert nib.load(tmp_path / 'out/images/in.nii.gz').get_data_dtype() == np.int16


def test_images_without_uids_get_uids_of_their_own(translator, tmp_path):
    for patient in ('one', 'other'):
        for file in series.save_series(
            tmp_path / 'in' / patient,
            64 * np.ones((1, SIDE, SIDE), np.int16) * np.arange(1, 4, dtype=np.int16)[:, None, None],
            [0.0, 3.0, 6.0],
        ):
            dataset = pydicom.dcmread(file)
            dataset.PatientID = patient
            for name in ('SOPInstanceUID', 'SeriesInstanceUID', 'StudyInstanceUID'):
                delattr(dataset, name)
            dataset.save_as(file, enforce_file_format=False)
    _translate(translator, [tmp_path / 'in'], tmp_path / 'out')
    written = [pydicom.dcmread(file) for file in sorted((tmp_path / 'out').rglob('*.dcm'))]
    assert len({own.SOPInstanceUID for own in written}) == len(written) == 6
    assert len({(own.PatientID, own.StudyInstanceUID) for own in written}) == 2
    assert len({own.SeriesInstanceUID for own in written}) == 2
    assert not any('SourceImageSequence' in own for own in written)
    _translate(translator, [tmp_path / 'in'], tmp_path / 'again')
    assert read_files(tmp_path / 'again') == read_files(tmp_path / 'out')


def test_the_manifest_says_derived_and_no_gate_passes_it(translator, tmp_path, capsys):
    series.save_series(tmp_path / 'jane_doe', series.random_values(2, SIDE, SIDE), [0.0, 3.0])
    _translate(translator, [tmp_path / 'jane_doe'], tmp_path / 'out')
    manifest = read_manifest(tmp_path / 'out')
    assert (manifest['synthetic'], manifest['release']['verdict']) == ('derived from patient data', 'fail')
    assert 'jane_doe' not in str(manifest['command'])
    assert verify.main([str(tmp_path / 'out')]) == 0
    told = capsys.readouterr().out
    assert '2 images derived from patient data' in told
    assert 'fail; do not share these images as safe' in told


def test_what_the_network_was_not_trained_on_is_refused_in_a_sentence(translator, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), np.uint8)
    Image.fromarray(picture).save(tmp_path / 'eight.png')
    with pytest.raises(
        UserError, match=r'eight\.png: its values are not those of .* of the same kind and depth\.'
    ):
        _translate(translator, [tmp_path / 'eight.png'], tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_files_of_another_modality_are_refused_whatever_their_values(translator, tmp_path):
    series.save_series(tmp_path / 'in', series.random_values(2, SIDE, SIDE), [0.0, 3.0])
    foreign = dataclasses.replace(translator, source=dataclasses.replace(translator.source, modality='MR'))
    with pytest.raises(UserError, match=r'is CT, and the network translates MR; leave it out\.'):
        _translate(foreign, [tmp_path / 'in'], tmp_path / 'out')
    several = dataclasses.replace(translator, source=dataclasses.replace(translator.source, modality='unknown'))
    assert len(_translate(several, [tmp_path / 'in'], tmp_path / 'out')[0]) == 1


def test_a_header_that_cannot_be_converted_is_told_and_the_others_are_translated(translator, tmp_path):
    for name in ('a', 'b'):
        (file,) = series.save_series(tmp_path / 'in' / name, series.random_values(1, SIDE, SIDE), [0.0])
    dataset = pydicom.dcmread(file)
    number = dataset.data_element('SeriesNumber').tag
    del dataset[number]
    dataset[number] = pydicom.dataelem.RawDataElement(number, 'IS', 4, b'abc ', 0, False, True)
    dataset.save_as(file)
    rows, refusals = _translate(translator, [tmp_path / 'in'], tmp_path / 'out')
    assert [row['name'] for row in rows] == ['a/00']
    assert list(refusals.reasons) == ['b/00.dcm']
    assert 'is damaged' in refusals.reasons['b/00.dcm']


def test_pictures_get_the_depth_of_the_target(translator, tmp_path):
    facts = {'stored': 'uint8', 'intensity': (0.0, 255.0), 'dtype': 'uint8'}
    domains = [
        dataclasses.replace(own, facts=dataclasses.replace(own.facts, **facts))
        for own in (translator.source, translator.target)
    ]
    pictured = dataclasses.replace(translator, source=domains[0], target=domains[1])
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, 6), np.uint8)
    Image.fromarray(picture).save(tmp_path / 'in.png')
    _translate(pictured, [tmp_path / 'in.png'], tmp_path / 'out')
    with Image.open(tmp_path / 'out/images/in.png') as written:
        np.testing.assert_array_equal(np.asarray(written), picture)


@pytest.mark.parametrize(('length', 'side'), [(8, 8), (9, 8), (12, 8), (40, 8), (100, 64)])
def test_windows_cover_an_image_and_fade_into_each_other(length, side):
    starts = starts_of(length, side)
    assert (starts[0], starts[-1]) == (0, length - side)
    assert all(0 < after - before <= side / 2 + 1 for before, after in itertools.pairwise(starts))
    images = np.random.default_rng(0).uniform(-1, 1, (2, length, length, 1)).astype(np.float32)
    np.testing.assert_allclose(
        in_windows(lambda own: 0.5 * own + 0.1, images, side), 0.5 * images + 0.1, atol=1e-6
    )


def test_pairs_of_a_split_are_measured_beside_what_needs_no_network(translator, tmp_path):
    """With a network that changes nothing, `translated` is `identity`."""
    for contrast in ('CT', 'T1'):
        options = ContrastOptions(60, SIDE, (contrast,), (1.0,), 5, 2, 'lesion')
        write(scan_contrasts(options), tmp_path, contrast.lower())
    recipe = translator.run.recipe
    requests = [
        dataclasses.replace(own, name=name, data_dir=str(tmp_path), modalities=(), phantom=None)
        for own, name in ((recipe.images, 'ct'), (recipe.target, 't1'))
    ]
    recipe = dataclasses.replace(recipe, images=requests[0], target=requests[1])
    measured = dataclasses.replace(translator, run=dataclasses.replace(translator.run, recipe=recipe))
    report = evaluate_pairs(measured, list_methods(measured, tuple(requests)), tuple(requests), 'test')
    assert report.images == 2 * report.patients > 4
    scores = describe_pairs(report)['scores']
    assert scores['translated'] == scores['identity'] != scores['histogram']
    for own in scores.values():
        low, high = own['error']['interval']
        assert 0 < low < own['error']['value'] < high < 1500
        assert 0 <= own['lost']['value'] <= 100
        assert own['invented']['value'] >= 0
    assert f'{report.images} pairs of {report.patients} patients' in tabulate_pairs(report)
    assert report.worst.shape[0] // min(report.images, 8) == report.worst.shape[1] // 4 >= 64


def test_pairs_of_other_sets_are_seen_in_the_windows_of_the_training(translator, tmp_path):
    """Of patients who were not in the training; a run whose sets they are is refused."""
    recipe = translator.run.recipe
    for contrast, seed in itertools.product(('CT', 'T1'), (5, 6)):
        options = ContrastOptions(60, SIDE, (contrast,), (1.0,), seed, 2, 'lesion')
        write(scan_contrasts(options), tmp_path, f'{contrast}_{seed}'.lower())
    learnt = [
        dataclasses.replace(own, name=name, data_dir=str(tmp_path), modalities=(), phantom=None)
        for own, name in ((recipe.images, 'ct_5'), (recipe.target, 't1_5'))
    ]
    recipe = dataclasses.replace(recipe, images=learnt[0], target=learnt[1])
    trained = dataclasses.replace(translator, run=dataclasses.replace(translator.run, recipe=recipe))
    with pytest.raises(UserError, match="patients in the split 'train' of ct_5, t1_5 were in the training"):
        check_unseen(trained, request_pairs(trained, ('ct_5', 't1_5')), 'train')
    other = request_pairs(trained, ('ct_6', 't1_6'))
    check_unseen(trained, other, 'train')
    assert [own.preprocessing.window for own in other] == [translator.source.window, translator.target.window]
    assert evaluate_pairs(trained, list_methods(trained, tuple(learnt)), other, 'train').images > 20
