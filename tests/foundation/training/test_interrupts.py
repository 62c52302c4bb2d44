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


@pytest.mark.parametrize('module', sorted({module for module, _ in enhanced_gan.COMMANDS.values()}))
def test_every_command_heeds_signals_before_it_imports(module):
    """What comes before takes no time: that of another import of ours, or of an array library, would."""
    path = ROOT / f'{module.replace(".", "/")}.py'
    first = next(node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr))
    assert ast.unparse(first).splitlines()[1:] == [
        '    from foundation.training.interrupts import end_in_one_line',
        '    end_in_one_line()',
    ]


def test_packages_that_hold_commands_are_imported_in_no_time():
    code = """
import sys
import foundation.training, gan, detect, segment, backbones
sys.argv[0] = '-m'
interrupts.end_in_one_line = lambda: sys.exit('heeded')
import input_pipeline
"""
    assert _run(f'import sys{code}').stderr == 'heeded\n'
    slow = "[name for name in ('numpy', 'jax', 'absl', 'inspect', 'tensorflow_datasets') if name in sys.modules]"
    assert _run(f'import sys, gan, detect, segment, backbones; print({slow})').stdout == '[]\n'
