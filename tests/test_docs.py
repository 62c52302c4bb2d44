"""What the pages say can be done: links lead somewhere, and commands name modules, flags and fields that exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict

import enhanced_gan

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / f'{name}.md' for name in ('README', 'ARCHITECTURE', 'CONTRIBUTING')),
    *(ROOT / 'docs').glob('*.md'),
]
NAMES = [str(page.relative_to(ROOT)) for page in sorted(PAGES)]
_LINK = re.compile(r'\]\(([^)\s]+)\)')
_BLOCK = re.compile(r'^```sh\n(.*?)^```', re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r'`((?:python -m|enhanced-gan) [^`]+)`')
_FLAG = re.compile(r"(?:DEFINE_\w+|add)\(\s*'(?:--)?(\w+)'")


def _anchors(page: Path) -> set[str]:
    """What headings are called in links, as GitHub does it."""
    headings = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}


def _commands(text: str) -> list[list[str]]:
    """The words of every command of ours, from its module on."""
    lines = [line for block in _BLOCK.findall(text) for line in block.replace('\\\n', ' ').splitlines()]
    lines += [code.replace('\n', ' ') for code in _INLINE.findall(text)]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        if 'enhanced-gan' in words[:1]:
            count = 2 if ' '.join(words[1:3]) in enhanced_gan.COMMANDS else 1
            name = ' '.join(words[1 : 1 + count])
            if name in enhanced_gan.COMMANDS:
                found.append([enhanced_gan.COMMANDS[name][0], *words[1 + count :]])
        elif '-m' in words and words[words.index('-m') - 1].endswith('python'):
            found.append(words[words.index('-m') + 1 :])
    return [words for words in found if words[0].isidentifier() or '.' in words[0].strip('.')]


def _source(module: str) -> Path | None:
    """The file of a module of ours that is started."""
    path = ROOT.joinpath(*module.split('.'))
    return next((file for file in (path.with_suffix('.py'), path / '__main__.py') if file.exists()), None)


def _flags(source: Path) -> set[str]:
    shared = [ROOT / 'input_pipeline/flags.py', *ROOT.glob('*/launch.py'), *ROOT.glob('*/*/launch.py')]
    text = source.read_text()
    for name in re.findall(r'adopt_module_key_flags\((\w+)\)', text):
        (package,) = re.findall(rf'^from (\S+) import .*\b{name}\b', text, re.MULTILINE)
        shared.append((ROOT / package.replace('.', '/') / name).with_suffix('.py'))
    texts = [text, *(path.read_text() for path in shared)]
    return {name for text in texts for name in _FLAG.findall(text)} | {'help'}


def _load_config(words: list[str]) -> ConfigDict | None:
    """The config that a command names; None without, or where a name stands in for it."""
    named = [word.partition('=')[2] for word in words if word.startswith('--config=')]
    if not named or not named[0].startswith('configs/') or not named[0].partition(':')[0].endswith('.py'):
        return None
    file, _, variant = named[0].partition(':')
    module = importlib.import_module(file.removesuffix('.py').replace('/', '.'))
    return module.get_config(variant) if variant and '$' not in variant else module.get_config()


def _has_field(config: ConfigDict, field: str) -> bool:
    *folders, last = field.split('.')
    for name in folders:
        if name not in config:
            return False
        config = config[name]
    return last in config


def _faults(text: str) -> list[str]:
    """What commands name that does not exist."""
    faults = []
    for module, *words in _commands(text):
        source = _source(module)
        if source is None:
            if module.split('.')[0] in ('venv', 'pip', 'pytest'):
                continue
            faults.append(f'there is no module {module}')
            continue
        flags, config = _flags(source), _load_config(words)
        for word in words:
            name = word[2:].partition('=')[0]
            if not word.startswith('--'):
                continue
            if name.startswith('config.'):
                if config is not None and not _has_field(config, name.removeprefix('config.')):
                    faults.append(f'{module} has no {word}')
            elif name not in flags and name.removeprefix('no') not in flags:
                faults.append(f'{module} has no --{name}')
    faults += [f'there is no {path}' for path in _config_paths(text) if not (ROOT / path).exists()]
    return faults


def _config_paths(text: str) -> set[str]:
    return set(re.findall(r'\bconfigs/\w+/\w+\.py', text))


@pytest.mark.parametrize('name', NAMES)
def test_commands_name_what_exists(name):
    text = (ROOT / name).read_text()
    placeholders = ('configs/gan/NAME.py', 'configs/gan/x.py')
    assert [fault for fault in _faults(text) if not fault.endswith(placeholders)] == []


@pytest.mark.parametrize('name', NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in _LINK.findall(page.read_text()):
        if link.startswith(('http://', 'https://')):
            continue
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_index_knows_every_page():
    text = (ROOT / 'docs/index.md').read_text()
    missing = [
        page.name for page in (ROOT / 'docs').glob('*.md') if page.name != 'index.md' and page.name not in text
    ]
    assert missing == []


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 130


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('```sh\npython -m gan.mian --workdir=x\n```', 'there is no module gan.mian'),
        ('```sh\npython -m gan.generate --workdir=x \\\n  --nubmer=3\n```', 'gan.generate has no --nubmer'),
        ('```sh\nenhanced-gan verify --all\n```', 'gan.verify has no --all'),
        (
            '`python -m gan.main --config=configs/gan/tiny.py --config.loss.nmae=hinge`',
            'gan.main has no --config.loss.nmae=hinge',
        ),
        ('see configs/gan/nowhere.py', 'there is no configs/gan/nowhere.py'),
    ],
)
def test_a_wrong_command_is_found(text, fault):
    assert _faults(text) == [fault]
