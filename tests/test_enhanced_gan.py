"""The console command: every word starts its module with the flags given, and a mistyped one is told."""

import importlib
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import enhanced_gan

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def started(monkeypatch):
    """What would be started: module and arguments, in order."""
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(sys, 'argv', ['enhanced-gan'])
    monkeypatch.setattr(runpy, 'run_module', lambda module, **_: calls.append((module, sys.argv[1:])))
    return calls


@pytest.mark.parametrize('command', enhanced_gan.COMMANDS)
def test_every_word_starts_its_module_with_all_flags(started, command):
    enhanced_gan.main([*command.split(), '--workdir=runs/x', 'PATH'])
    assert started == [(enhanced_gan.COMMANDS[command][0], ['--workdir=runs/x', 'PATH'])]


def test_the_map_holds_every_module_that_is_a_command():
    packages = ('backbones', 'detect', 'gan', 'input_pipeline', 'segment')
    found = {
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for package in packages
        for path in (ROOT / package).glob('*.py')
        if "\nif __name__ == '__main__':" in path.read_text()
    }
    assert found == {module for module, _ in enhanced_gan.COMMANDS.values()}


@pytest.mark.parametrize('words', [[], ['--help'], ['-h'], ['help']])
def test_help_prints_the_map(capsys, words):
    enhanced_gan.main(words)
    printed = capsys.readouterr().out
    for command, (module, sentence) in enhanced_gan.COMMANDS.items():
        assert any(line.split() == f'{command} {module} {sentence}'.split() for line in printed.splitlines())


@pytest.mark.parametrize('words', [['detect'], ['detect', '--help']])
def test_a_group_has_a_map_of_its_own(capsys, words):
    enhanced_gan.main(words)
    printed = capsys.readouterr().out
    assert 'detect tamper' in printed
    assert 'segment' not in printed


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['trian'], "there is no command 'trian'; did you mean 'train'?"),
        (['segment', 'predcit'], "there is no command 'segment predcit'; did you mean 'segment predict'?"),
        (['detct', 'app'], "there is no command 'detct'; did you mean 'detect'?"),
        (['--workdir=x'], "there is no command '--workdir=x'; enhanced-gan --help shows all."),
    ],
)
def test_an_unknown_word_gets_one_sentence(started, words, sentence):
    with pytest.raises(SystemExit) as stopped:
        enhanced_gan.main(words)
    assert stopped.value.code == f'Error: {sentence}'
    assert started == []


def test_configs_are_found_from_any_folder(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    enhanced_gan.main(['train', '--config=configs/gan/comparison.py:pggan', '--workdir=configs/runs'])
    expected = f'--config={ROOT / "configs/gan/comparison.py"}:pggan'
    assert started == [('gan.main', [expected, '--workdir=configs/runs'])]
    (tmp_path / 'configs/gan').mkdir(parents=True)
    (tmp_path / 'configs/gan/comparison.py').touch()
    enhanced_gan.main(['train', '--config', 'configs/gan/comparison.py:pggan'])  # that of the folder comes first
    assert started[1] == ('gan.main', ['--config', 'configs/gan/comparison.py:pggan'])


@pytest.mark.parametrize(
    ('words', 'code', 'text'),
    [
        (['verify', '--help'], 0, 'tells which protections images have'),
        (['verify', 'nowhere'], 1, 'Error: '),
        (['trian'], 1, "did you mean 'train'?"),
    ],
)
def test_the_process_ends_as_the_module_would(tmp_path, words, code, text):
    command = [sys.executable, str(ROOT / 'enhanced_gan.py'), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert 'Traceback' not in done.stderr


def test_what_is_installed_is_this_function():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
    assert project['project']['scripts'] == {'enhanced-gan': 'enhanced_gan:main'}
    assert project['tool']['setuptools']['py-modules'] == ['enhanced_gan']
    assert importlib.import_module('enhanced_gan').main is enhanced_gan.main
