"""Every field of every kind of config as a page: `python -m configs.tables > docs/fields.md`."""

from collections.abc import Iterator

from configs.backbones.schema import CLASSIFIER, SELF_SUPERVISED
from configs.detect.schema import DETECTOR, STACK
from configs.gan.schema import GAN
from configs.schema import Section, describe
from configs.segment.schema import UNET
from configs.segment.study_schema import STUDY

_KINDS = {
    'GANs (`gan.main`)': GAN,
    'Detectors of images (`detect.main`)': DETECTOR,
    'Detectors of volumes (`detect.main`)': STACK,
    'U-Nets (`segment.main`)': UNET,
    'Studies (`segment.study`)': STUDY,
    'Classifiers (`backbones.main`)': CLASSIFIER,
    'Encoders without labels (`backbones.main`)': SELF_SUPERVISED,
}
_INTRODUCTION = """# Fields of the configs

Every field can be set on the command line, like `--config.resolution=128`. `--help` shows the same. Defaults are
those of the schema; a config file changes what it names. Fields in **bold** may not change once a run has begun.
"""


def page() -> str:
    """The page, as Markdown."""
    parts = [_INTRODUCTION]
    for title, schema in _KINDS.items():
        parts.append('\n'.join([f'## {title}\n', *_table(schema)]) + '\n')
    return '\n'.join(parts)


def _table(schema: Section) -> Iterator[str]:
    yield '| field | default | allowed | meaning |'
    yield '| --- | --- | --- | --- |'
    fixed = _fixed_names(schema, '', False)
    for name, *cells in describe(schema):
        shown = [f'`{cells[0]}`', *(cell.replace('|', '\\|') for cell in cells[1:])]
        yield f'| {f"**{name}**" if name in fixed else name} | ' + ' | '.join(shown) + ' |'


def _fixed_names(section: Section, prefix: str, fixed: bool) -> set[str]:
    """Dotted names of the fields that may not change, in any variant."""
    names: set[str] = set()
    for name, node in section.fields.items():
        parts = getattr(node, 'sections', {name: node})
        for part in parts.values():
            if isinstance(part, Section):
                names |= _fixed_names(part, f'{prefix}{name}.', fixed or part.fixed)
            elif fixed or part.fixed:
                names.add(prefix + name)
    return names


if __name__ == '__main__':
    print(page(), end='')
