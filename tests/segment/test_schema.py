"""The schemas of U-Nets and of studies: what they explain, refuse, and hold fixed."""

import pytest

from configs import schema
from configs.segment import study_brain_tumor, unet
from configs.segment.schema import UNET
from configs.segment.study_schema import STUDY
from foundation.training.errors import UserError
from segment.metrics import POLICIES
from segment.networks import NORMALIZATIONS

CONFIGS = [
    *((UNET, unet.get_config(variant)) for variant in unet.VARIANTS),
    *((STUDY, study_brain_tumor.get_config(variant)) for variant in study_brain_tumor.VARIANTS),
]


@pytest.mark.parametrize(('fields', 'config'), CONFIGS)
def test_configs_have_values_that_may_be(fields, config):
    schema.check(fields, config, left_open=True)


@pytest.mark.parametrize('variant', unet.VARIANTS)
def test_a_run_of_a_unet_holds_on_to_what_decides_it(variant):
    assert set(schema.fixed_fields(UNET, unet.get_config(variant))) == {
        'augment', 'channels', 'context', 'data.classes', 'data.fit', 'data.modalities', 'data.pixel_size',
        'data.pixels', 'data.window', 'data.window_range', 'dimensions', 'loss', 'mask_classes',
        'network', 'optimizer', 'patch', 'resolution', 'schedule',
        'seed', 'volume',
    }  # fmt: skip


def test_a_study_holds_on_to_all_but_how_many_images_are_drawn_and_audited():
    assert set(schema.fixed_fields(STUDY, study_brain_tumor.get_config())) == {
        'alpha', 'arms', 'block', 'comparisons', 'curve', 'data', 'data_dir', 'fractions', 'generators.configs',
        'generators.flags', 'generators.own', 'generators.seeds', 'margin', 'name', 'policy', 'ratios',
        'reference', 'resamples', 'resolution', 'seed', 'seeds', 'segmenter',
    }  # fmt: skip


def test_what_is_left_to_the_data_may_be_so_only_before_they_are_looked_at():
    config = unet.get_config()
    open_fields = {name for name, field in schema.walk(UNET, config) if field.left_open is not None}
    assert open_fields == {
        'resolution', 'patch', 'channels', 'mask_classes', 'data.fit', 'data.window', 'network.depth',
        'schedule.batch_size', 'volume.slices', 'volume.distance', 'volume.strides', 'volume.kernels',
    }  # fmt: skip
    schema.check(UNET, config, left_open=True)
    with pytest.raises(UserError, match=r'config\.channels is 0, but must be at least 1'):
        schema.check(UNET, config)
    config.channels = 1
    with pytest.raises(UserError, match=r"config\.data\.fit is 'suggested'; choose one of"):
        schema.check(UNET, config)


def test_choices_are_those_that_there_are():
    assert dict(schema.walk(UNET, None))['network.normalization'].choices == NORMALIZATIONS
    assert dict(schema.walk(STUDY, None))['policy'].choices == POLICIES


def test_every_field_is_explained():
    rows = [*schema.describe(UNET), *schema.describe(STUDY)]
    assert all(about for *_, about in rows)
    allowed = {name: may for name, _, may, _ in rows}
    assert allowed['network.depth'] == 'at least 1, at most 8, or 0'
    assert allowed['data.fit'] == "'native', 'pad', 'resize', 'suggested'"


def test_only_what_was_changed_is_told():
    assert schema.changes(UNET, unet.get_config()) == {}
    changed = schema.changes(UNET, unet.get_config('small'))
    assert changed['network.width'] == 8
    assert 'seed' not in changed
    assert set(schema.changes(STUDY, study_brain_tumor.get_config('full'))) == {
        'name', 'resolution', 'fractions', 'ratios', 'seeds', 'generators.configs', 'generators.flags',
        'generators.images', 'generators.seeds', 'generators.audit', 'segmenter.config', 'segmenter.flags',
        'segmenter.steps', 'curve',
    }  # fmt: skip
