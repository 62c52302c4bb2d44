"""The rules of the house: imports point one way, files and functions stay short, nothing is unpickled."""

import ast
import builtins
import subprocess
import symtable
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What each package may import of ours, beside itself.
ALLOWED = {
    'gan': {'backbones', 'configs', 'foundation', 'input_pipeline'},
    'detect': {'backbones', 'configs', 'foundation', 'input_pipeline'},
    'segment': {'backbones', 'configs', 'foundation', 'input_pipeline'},
    'backbones': {'configs', 'foundation', 'input_pipeline'},
    'foundation': set(),
    'input_pipeline': {'foundation'},
    'configs': {'foundation'},
    'benchmarks': {'gan', 'detect', 'segment', 'backbones', 'foundation', 'input_pipeline', 'configs'},
}
FORBIDDEN = {'tensorflow', 'pickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal'}
DATA_LIBRARIES = {'tensorflow_datasets', 'grain', 'array_record'}
PLACEMENT = {'Mesh', 'NamedSharding', 'PartitionSpec', 'PositionalSharding', 'make_mesh', 'pmap', 'shard_map'}
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 40
SOURCES = [path for name in ALLOWED for path in sorted((ROOT / name).rglob('*.py'))]


def _imports(tree: ast.AST) -> Iterator[str]:
    """Names of imported modules; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield '.' * node.level + (node.module or '')


def _public_names(package: str) -> set[str] | None:
    """What a package names for others in its `__init__`: modules, and names; None where it is no package."""
    init = ROOT / package.replace('.', '/') / '__init__.py'
    if not init.is_file():
        return None
    for node in ast.parse(init.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            return set(ast.literal_eval(node.value))
    return set()


def _private_imports(package: str, tree: ast.AST) -> Iterator[str]:
    """What is imported from other packages without being named in their `__init__`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
            continue
        top = node.module.split('.')[0]
        if top not in ALLOWED or top in {package, 'configs', 'benchmarks'}:
            continue
        for path in (f'{node.module}.{alias.name}' for alias in node.names):
            *parents, last = path.split('.')
            for length, name in enumerate([*parents[1:], last], start=1):
                public = _public_names('.'.join(parents[:length]))
                if public is not None and name not in public:
                    yield path
                    break


def _calls(tree: ast.AST) -> Iterator[str]:
    """Last names of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature, its docstring and the functions inside it."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    nested = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    whole = (body[-1].end_lineno or 0) - body[0].lineno + 1
    return whole - sum((node.end_lineno or 0) - node.lineno + 1 for node in nested)


def _undefined_names(text: str) -> set[str]:
    """Global names that a module uses and never defines: ruff cannot tell them from the axes in annotations."""
    top = symtable.symtable(text, 'module', 'exec')
    defined = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    defined |= {*dir(builtins), '__file__', '__name__', '__doc__'}
    tables, used = [top], set()
    while tables:
        table = tables.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        tables += table.get_children()
    return used - defined


def _faults(relative: Path, text: str) -> list[str]:
    """What in a file is against the rules."""
    package, tree = relative.parts[0], ast.parse(text)
    faults = []
    for module in _imports(tree):
        top = module.split('.')[0]
        if top in ALLOWED and top not in ALLOWED[package] | {package}:
            faults.append(f'{package} imports {module}')
        if not top or top in FORBIDDEN:
            faults.append(f'imports {module}')
        if top in DATA_LIBRARIES and package != 'input_pipeline':
            faults.append(f'{package} imports {module}')
    faults += [f'imports {path}, which is not public' for path in _private_imports(package, tree)]
    if relative != Path('foundation/training/parallel.py') and package != 'benchmarks':
        faults += [f'calls {name}' for name in _calls(tree) if name in PLACEMENT]
    faults += [f'uses {name}, which is not defined' for name in sorted(_undefined_names(text))]
    if text.count('\n') >= MAX_FILE_LINES:
        faults.append(f'has {MAX_FILE_LINES} lines or more')
    if 'config.get(' in text:
        faults.append('has a hidden default: config.get(')
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # A config is a list of fields, as long as it has fields.
        if node.name != 'get_config' and _body_lines(node) > MAX_FUNCTION_LINES:
            faults.append(f'{node.name} is longer than {MAX_FUNCTION_LINES} lines')
    return faults


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_rules(path):
    assert _faults(path.relative_to(ROOT), path.read_text()) == []


@pytest.mark.parametrize(
    ('file', 'text', 'fault'),
    [
        ('gan/x.py', 'import segment.losses', 'gan imports segment.losses'),
        ('foundation/x.py', 'def f():\n    import gan.step', 'foundation imports gan.step'),
        ('input_pipeline/x.py', 'import backbones', 'input_pipeline imports backbones'),
        ('foundation/x.py', 'import input_pipeline', 'foundation imports input_pipeline'),
        ('backbones/x.py', 'import gan', 'backbones imports gan'),
        ('gan/x.py', 'from .step import Objective', 'imports .step'),
        (
            'gan/x.py',
            'from foundation.training.clock import Meter',
            'imports foundation.training.clock.Meter, which is not public',
        ),
        (
            'segment/x.py',
            'from input_pipeline import builder',
            'imports input_pipeline.builder, which is not public',
        ),
        ('gan/x.py', 'import tensorflow.compat.v1 as tf', 'imports tensorflow.compat.v1'),
        ('foundation/x.py', 'import pickle', 'imports pickle'),
        ('gan/x.py', 'import grain.python', 'gan imports grain.python'),
        ('gan/x.py', 'import jax\nmesh = jax.sharding.Mesh(1, 2)', 'calls Mesh'),
        ('gan/x.py', 'from jax import pmap\nstep = pmap(abs)', 'calls pmap'),
        ('gan/x.py', 'def f(config):\n    return config.get("rate", 1)', 'has a hidden default: config.get('),
        ('gan/x.py', 'def f(a):\n    return [_forgotten(b) for b in a]', 'uses _forgotten, which is not defined'),
        ('gan/x.py', '\n' * 450, 'has 450 lines or more'),
        ('gan/x.py', 'def f():\n' + '    x = 1\n' * 41, 'f is longer than 40 lines'),
    ],
)
def test_a_broken_rule_is_found(file, text, fault):
    assert _faults(Path(file), text) == [fault]


def test_rules_allow_what_the_design_allows():
    text = 'import backbones.resnet\nimport foundation\nimport input_pipeline\nfrom gan import step\n'
    assert _faults(Path('gan/x.py'), text) == []
    assert _faults(Path('input_pipeline/x.py'), 'import grain\nimport tensorflow_datasets as tfds') == []


def test_no_tensorflow_is_loaded(tmp_path):
    """Even where one is installed: an empty stand-in comes first on the path."""
    (tmp_path / 'tensorflow').mkdir()
    (tmp_path / 'tensorflow' / '__init__.py').write_text('')
    program = (
        f'import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n'
        'import gan.train, gan.generation.folder, input_pipeline.prepare\n'
        'print([name for name in sys.modules if name.split(".")[0] == "tensorflow"])\n'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, '[]'), done.stderr
