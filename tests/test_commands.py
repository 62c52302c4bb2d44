"""Commands that train start as modules: what a package imports for itself must not hide its own modules."""

import importlib

import pytest


@pytest.mark.parametrize('package', ['backbones', 'detect', 'gan', 'segment'])
def test_a_package_finds_its_own_training(package):
    """`from detect import training` is detect's module, whatever detect/__init__.py imports."""
    main = importlib.import_module(f'{package}.main')
    training = importlib.import_module(f'{package}.training')
    assert importlib.import_module(package).training is training
    assert main.__name__ == f'{package}.main'
