"""The table of methods: every config is told of, and the pages show what the table says."""

from pathlib import Path

import pytest

from configs.gan import dcgan
from gan.citations import ARCHITECTURES, papers_of_gan, read_bibliography
from gan.families import FAMILIES, methods
from gan.recipe import create_recipe

ROOT = Path(__file__).resolve().parents[2]


def test_every_config_is_a_method_or_an_application_of_one():
    """Otherwise: add a row to METHODS in gan/families/methods.py."""
    files = {path.stem for path in (ROOT / 'configs/gan').glob('*.py')} - {'__init__', 'architectures', 'schema'}
    named = {method.config.partition(':')[0] for method in methods.METHODS}
    assert files == named | set(methods.APPLICATIONS)
    assert not named & set(methods.APPLICATIONS)


def test_every_architecture_has_a_method_and_a_paper():
    assert (
        {method.create_config().architecture for method in methods.METHODS} == set(FAMILIES) == set(ARCHITECTURES)
    )


@pytest.mark.parametrize('method', methods.METHODS, ids=lambda method: method.title)
def test_a_method_can_be_trained_and_its_paper_is_among_those_of_its_run(method):
    config = method.create_config()
    create_recipe(config)
    assert method.paper in read_bibliography()
    assert method.paper in set(papers_of_gan(config.to_dict()))


def test_the_pages_are_up_to_date():
    """Otherwise: what `python -m gan.families.methods` prints goes into docs/zoo.md, the titles into README.md."""
    page = (ROOT / 'docs' / 'zoo.md').read_text()
    _, _, rest = page.partition('<!-- methods: python -m gan.families.methods -->\n')
    assert rest.partition('<!-- end -->')[0] == methods.table()
    readme = (ROOT / 'README.md').read_text()
    assert f'| {methods.list_titles()}; ' in readme
    assert readme.count('\n') <= 130


def test_fields_of_a_method_are_in_its_config_and_on_its_command_line():
    method = methods.Method('dcgan', 'x', 'radford2016', '', '', {'conditional': True, 'optimizer.b1': 0.25})
    assert method.create_config().optimizer.b1 == 0.25
    assert not dcgan.get_config().conditional
    assert method.flags() == 'configs/gan/dcgan.py --config.conditional=True --config.optimizer.b1=0.25'
