"""`enhanced-gan COMMAND [flags]`: all commands under one name, each the module that `python -m` starts, too."""

from foundation import startup  # noqa: F401  (before all that takes time)

# isort: split
import difflib
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

# Word or words of a command: the module that it starts, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    'prepare': ('input_pipeline.prepare', 'a folder of files becomes a data set, split by patient'),
    'derive': ('input_pipeline.derive', 'a data set becomes another: fewer patients, generated images beside'),
    'identify': ('input_pipeline.identify', 'which kind of pictures these are'),
    'train': ('gan.main', 'train a generator'),
    'report': ('gan.report', 'a page about a run, or several side by side, also while they train'),
    'cite': ('gan.cite', 'BibTeX of the papers that runs used'),
    'classify': ('backbones.main', "train a classifier of a data set's own classes, for scores"),
    'evaluate': ('gan.evaluate', 'score a generator, with intervals'),
    'sweep': ('gan.sweep', 'score it over truncation, strokes or levels; path lengths'),
    'generate': ('gan.generate', 'draw images; nothing is written unless the release gate passes'),
    'release': ('gan.generate', 'the same as generate'),
    'privacy': ('gan.privacy', 'what the release gate can tell of a generator, and what it cannot'),
    'reader_study': ('gan.reader_study', 'people judge in a browser: real or generated?'),
    'encode': ('gan.encode', 'codes of real images, from BiGAN, an autoencoder or InfoGAN'),
    'project': ('gan.project', 'the styles that real images are drawn from, of StyleGAN and StyleGAN2'),
    'translate': ('gan.translate', 'images of one kind become another: pictures, DICOM series and volumes'),
    'keys': ('gan.keys', 'make the keys that sign releases'),
    'sign': ('gan.sign', 'sign a folder of generated or translated images'),
    'verify': ('gan.verify', 'which protections images and folders have, and whether these hold'),
    'export': ('gan.export', 'a folder with the generator alone, to pass on'),
    'segment train': ('segment.main', 'train a U-Net'),
    'segment evaluate': ('segment.evaluate', 'score it by patient'),
    'segment predict': ('segment.predict', 'write masks for new pictures, DICOM series and volumes'),
    'segment arrays': ('segment.arrays', 'masks of images that are arrays, for programs'),
    'study': ('segment.study', 'whether generated images help a U-Net'),
    'detect prepare': ('detect.prepare', 'real and synthetic images become one data set'),
    'detect train': ('detect.main', 'train a detector of synthetic images'),
    'detect evaluate': ('detect.evaluate', 'score it, with a card of shortcuts and attacks'),
    'detect check': ('detect.check', 'how often it is wrong on your own real images'),
    'detect predict': ('detect.predict', 'tell of new files whether they are synthetic'),
    'detect tamper': ('detect.tamper', 'copies of real volumes, altered in one place each'),
    'detect anomalies': ('detect.anomalies', 'find strange images among those of new patients'),
    'detect app': ('detect.app', 'a page that answers in a browser'),
}
_HELP = ('--help', '-h', 'help')
_CONFIGS = 'configs/'


def main(arguments: Sequence[str] | None = None) -> None:
    """Starts a command as `python -m MODULE` would, or prints the map of all.

    Args:
      arguments: words and flags; None for those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in _HELP:
        print(describe(list(COMMANDS)))
        return
    count = 2 if words[0] in _groups() else 1
    if count == 2 and (len(words) == 1 or words[1] in _HELP):
        print(describe([command for command in COMMANDS if command.split()[0] == words[0]]))
        return
    command = ' '.join(words[:count])
    if command not in COMMANDS:
        sys.exit(f'Error: there is no command {command!r}; {_advise(command)}')
    module, _ = COMMANDS[command]
    # The first is replaced by the module's file.
    sys.argv = [f'enhanced-gan {command}', *find_configs(words[count:])]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


def describe(commands: Sequence[str]) -> str:
    """The map of these commands."""
    width = max(map(len, commands))
    modules = max(len(COMMANDS[command][0]) for command in commands)
    lines = [f'  {name:<{width}}  {COMMANDS[name][0]:<{modules}}  {COMMANDS[name][1]}' for name in commands]
    return '\n'.join(
        [
            'enhanced-gan COMMAND [flags]  is  python -m MODULE [flags]',
            '',
            *lines,
            '',
            'enhanced-gan COMMAND --help explains the flags of a command.',
        ]
    )


def find_configs(arguments: Sequence[str]) -> list[str]:
    """The arguments, with files under configs/ that are not here taken from where the project is installed."""
    spec = importlib.util.find_spec('configs')
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return [_find_config(argument, folders) for argument in arguments]


def _find_config(argument: str, folders: Sequence[Path]) -> str:
    flag, _, path = argument.rpartition('=')
    file = path.partition(':')[0]
    if not file.startswith(_CONFIGS) or Path(file).exists():
        return argument
    for folder in folders:
        if (folder / file.removeprefix(_CONFIGS)).exists():
            return f'{flag}{"=" * bool(flag)}{folder / path.removeprefix(_CONFIGS)}'
    return argument


def _groups() -> set[str]:
    """First words that need a second one."""
    return {command.split()[0] for command in COMMANDS if ' ' in command}


def _advise(command: str) -> str:
    close = difflib.get_close_matches(command, [*COMMANDS, *_groups()], n=1, cutoff=0.5)
    return f'did you mean {close[0]!r}?' if close else 'enhanced-gan --help shows all.'


if __name__ == '__main__':
    main()
