"""A first signal never shows a stack trace, a second one never ends Python in the middle of its clearing up."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import enhanced_gan
from foundation.training import interrupts

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = {module.split('.')[0] for module, _ in enhanced_gan.COMMANDS.values()}


def _run(code: str) -> subprocess.CompletedProcess[str]:
    program = f'import os, signal, time\nfrom foundation.training import interrupts\n{code}'
    return subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_while_a_command_starts_one_line_ends_it(name):
    done = _run(f'interrupts.end_in_one_line(); os.kill(os.getpid(), signal.{name}); time.sleep(9)')
    assert (done.returncode, done.stderr) == (128 + signal.Signals[name], 'Interrupted.\n')


def test_a_second_signal_ends_the_clearing_up_of_the_first():
    code = """
import threading
interrupts.end_in_one_line()
threading.Thread(target=time.sleep, args=(30,)).start()  # Python waits for it in the end
with interrupts.interrupt_once():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
    except KeyboardInterrupt:
        print('clearing up', flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
"""
    done = _run(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, 'clearing up\n', 'Interrupted.\n')


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost():
    done = _run(
        'import gc\n'
        'def callback(phase, info):\n'
        '    if phase == "start" and not called:\n'
        '        called.append(phase)\n'
        '        os.kill(os.getpid(), signal.SIGTERM)\n'
        '        time.sleep(0.01)\n'
        'called = []\n'
        'try:\n'
        '    with interrupts.interrupt_once():\n'
        '        gc.callbacks.append(callback)\n'
        '        gc.collect()\n'
        '        time.sleep(9)\n'
        'except KeyboardInterrupt:\n'
        '    print("heeded")\n'
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, 'heeded\n', '')


def test_a_second_signal_stops_training_at_once():
    code = """
with interrupts.stop_when_asked(float('inf')) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.reason == 'SIGTERM'
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(9)
"""
    done = _run(code)
    assert done.returncode == 143
    assert done.stderr.splitlines()[1:] == [
        'SIGTERM: saving, then stopping. A second signal stops at once.',
        'Stopped at once; the same command goes on from the last checkpoint.',
    ]


def test_after_nohup_a_closed_terminal_ends_nothing():
    code = 'signal.signal(signal.SIGHUP, signal.SIG_IGN); interrupts.end_in_one_line()'
    assert _run(f'{code}; os.kill(os.getpid(), signal.SIGHUP)').returncode == 0


def test_handlers_are_given_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyboardInterrupt), interrupts.interrupt_once():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    'path', ['enhanced_gan.py', *(f'{name}/__init__.py' for name in sorted(PACKAGES))], ids=lambda path: path
)
def test_signals_are_heeded_before_anything_else_is_imported(path):
    first = next(node for node in ast.parse((ROOT / path).read_text()).body if not isinstance(node, ast.Expr))
    assert ast.unparse(first) == 'from foundation import startup'


@pytest.mark.parametrize('name', sorted(PACKAGES))
def test_a_signal_while_a_package_is_imported_ends_its_command_in_one_line(name):
    """Another import of ours sends it; `-m` stands for the command while Python imports its package."""
    code = f"""
import sys
class Sending:
    def find_spec(self, name, path, target=None):
        if name.split('.')[0] == 'foundation' and name not in ('foundation', 'foundation.startup'):
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Sending())
sys.argv[0] = '-m'
import {name}
time.sleep(9)
"""
    program = f'import os, signal, time{code}'
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, 'Interrupted.\n')


def test_packages_that_hold_commands_are_imported_in_no_time():
    slow = "[name for name in ('numpy', 'jax', 'absl', 'inspect', 'tensorflow_datasets') if name in sys.modules]"
    assert _run(f'import sys, gan, detect, segment, backbones; print({slow})').stdout == '[]\n'
    alone = "print(sorted(name for name in sys.modules if name.split('.')[0] in ('foundation', 'typing')))"
    program = [
        sys.executable,
        '-S',
        '-c',
        f'import sys, foundation.startup; {alone}',
    ]  # -S: nothing but Python's own
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "['foundation', 'foundation.startup']\n"


def test_who_imports_a_package_keeps_the_handlers():
    before = 'before = signal.getsignal(signal.SIGINT)'  # ignored where the tests run in the background
    code = f'{before}; import gan, enhanced_gan; print(signal.getsignal(signal.SIGINT) is before)'
    assert _run(code).stdout == 'True\n'
