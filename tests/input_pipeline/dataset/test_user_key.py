"""The key of pseudonyms: made once, kept private, and refused where it is not."""

import os

import pytest

from input_pipeline.dataset.user_key import load_key
from input_pipeline.errors import DataError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No key named, and an empty folder of settings."""
    monkeypatch.delenv('ENHANCED_GAN_KEY')
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'settings'))
    return tmp_path


def _write(path, content='k' * 40, mode=0o600):
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_key_is_made_once_for_its_owner_alone(home):
    first = load_key(None)
    file = home / 'settings/enhanced-gan/key'
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert len(bytes.fromhex(first.decode())) == 32
    assert load_key(None) == first
    assert os.listdir(file.parent) == ['key']
    file.unlink()
    assert load_key(None) != first


def test_without_a_folder_of_settings_it_is_that_of_the_home(home, monkeypatch):
    monkeypatch.delenv('XDG_CONFIG_HOME')
    monkeypatch.setenv('HOME', str(home))
    assert load_key(None) == (home / '.config/enhanced-gan/key').read_bytes().strip()


def test_a_flag_wins_over_the_variable_and_this_over_the_own(home, monkeypatch):
    monkeypatch.setenv('ENHANCED_GAN_KEY', str(_write(home / 'variable', 'v' * 32)))
    assert load_key(None) == b'v' * 32
    assert load_key(_write(home / 'flag', f'{"f" * 32}\n')) == b'f' * 32
    assert not (home / 'settings').exists()


@pytest.mark.parametrize('place', ['flag', 'variable'])
@pytest.mark.parametrize(
    ('content', 'mode', 'reason'),
    [
        (None, 0, 'there is no such key'),
        ('k' * 40, 0o640, 'others than its owner may use this key; make it private with: chmod 600'),
        ('k' * 40, 0o602, 'others than its owner may use this key'),
        ('k' * 31 + '\n', 0o600, 'a key has 32 to 4096 bytes'),
        ('k' * 4098, 0o600, 'a key has 32 to 4096 bytes'),
    ],
)
def test_what_is_no_secret_is_refused(home, monkeypatch, place, content, mode, reason):
    file = home / 'key'
    if content is not None:
        _write(file, content, mode)
    if place == 'variable':
        monkeypatch.setenv('ENHANCED_GAN_KEY', str(file))
    with pytest.raises(DataError, match=reason) as raised:
        load_key(file if place == 'flag' else None)
    assert 'kkkk' not in str(raised.value)


def test_a_folder_is_no_key_and_where_none_can_be_made_it_is_told(home):
    with pytest.raises(DataError, match='the key cannot be read'):
        load_key(home)
    (home / 'settings').write_text('a file')
    with pytest.raises(DataError, match=r'cannot be made .*; --key=FILE names another'):
        load_key(None)
