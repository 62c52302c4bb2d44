"""Images that are drawn again: a folder whose index says whose they are, which detect.prepare takes."""

import csv

import numpy as np
import pytest

import input_pipeline
from detect import prepare
from foundation.training.errors import UserError
from gan.reconstructions import ReconstructionWriter
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.summary import read_records
from tests.input_pipeline.items import make_item, random_images, write

SPLITS = ('train', 'validation', 'test')
WHOLE = input_pipeline.Preprocessing(16, 1, 'stored', 'pad', mask_classes=0, context=0)


def _open(name, data_dir, split):
    return input_pipeline.open_dataset(
        name, data_dir, split, WHOLE, flip_horizontal=False, flip_vertical=False, seed=0,
        memory_budget_bytes=2**30, modalities=(), classes=(), target='class', foreground_share=0.0,
    )  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """A folder for each split, of images that are drawn again without a fault."""
    pictures = random_images(6, (16, 16, 1), np.uint8)
    items = [
        make_item(f'i{number}', [picture], patient=f'p{number}', split=SPLITS[number // 2], label='ChestCT',
                  intensity=(0.0, 255.0), window=(0.0, 255.0), modality='CT')
        for number, picture in enumerate(pictures)
    ]  # fmt: skip
    write(items, tmp_path, 'reals')
    made = []
    for split in SPLITS:
        images = _open('reals', tmp_path, split)
        folder = tmp_path / f'again_{split}'
        writer = ReconstructionWriter(folder, images, split)
        for batch in images.in_order(16, 1):
            writer.add(batch['image'])
        writer.finish()
        made.append(folder)
    return made


def test_an_index_tells_whose_they_are(folders):
    with (folders[1] / 'index.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['image'], row['patient'], row['split'], row['label'], row['modality']) for row in rows] == [
        (f'images/{number:06d}.png', f'reals/p{2 + number}', 'validation', 'ChestCT', 'CT') for number in range(2)
    ]


def test_the_detector_s_set_takes_them_on_the_side_of_their_patients(folders, tmp_path):
    fakes = [f'again={folder}' for folder in folders]
    arguments = ['--name=mixed', '--real', 'reals', '--resolution=16', f'--data_dir={tmp_path}', '--fakes', *fakes]
    assert prepare.main(arguments) == 0
    for number, split in enumerate(SPLITS):
        opened = open_splits('mixed', tmp_path)[split]
        table = read_records(opened.folder, split)
        assert set(table.patients) == {f'real/reals/p{place}' for place in (2 * number, 2 * number + 1)}
        shown = {}
        for place, (patient, label) in enumerate(zip(table.patients, table.labels, strict=True)):
            shown.setdefault(patient, {})[label] = opened.read(place).image
        for own in shown.values():
            np.testing.assert_array_equal(own['real'], own['again'])


def test_a_family_that_draws_none_is_told(folders, tmp_path):
    writer = ReconstructionWriter(tmp_path / 'out', _open('reals', tmp_path, 'train'), 'train')
    with pytest.raises(UserError, match='draws no reconstructions; train an aae or a bigan'):
        writer.finish()
