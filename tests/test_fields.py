"""The page of all fields is what the schemas say, and the schemas list what the code offers."""

from pathlib import Path

from configs import tables
from configs.gan.architectures import DISCRIMINATORS, GENERATORS
from gan.families import FAMILIES
from gan.losses import LOSSES
from gan.networks.dcgan import ACTIVATIONS
from gan.networks.heads import CONDITIONS

_ROOT = Path(__file__).parents[1]


def test_the_page_is_up_to_date():
    """Otherwise: python -m configs.tables > docs/fields.md"""
    assert (_ROOT / 'docs' / 'fields.md').read_text() == tables.page()


def test_choices_are_those_that_there_are():
    fields = tables.GAN.fields
    assert set(fields['architecture'].choices) == set(FAMILIES) == set(GENERATORS) == set(DISCRIMINATORS)
    assert set(fields['loss'].fields['name'].choices) == set(LOSSES)
    assert set(GENERATORS['dcgan'].fields['activation'].choices) == set(ACTIVATIONS)
    for section in DISCRIMINATORS.values():
        if 'condition' in section.fields:
            choices = set(section.fields['condition'].choices)
            assert choices - {'concatenation'} == set(CONDITIONS)
