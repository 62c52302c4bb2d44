"""From the command line to a task's `train_and_evaluate`: flags, configs, several hosts, one-sentence errors."""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import app, flags
from ml_collections import ConfigDict, config_flags

from foundation.files import CACHE, is_full
from foundation.training.canary import check_arithmetic
from foundation.training.errors import UserError
from foundation.training.interrupts import end_process, interrupt_once
from foundation.training.logs import log_to_screen, silence
from foundation.training.parallel import is_first_process
from foundation.training.speed import measuring, name_command
from foundation.training.workdir import one_writer

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', None, 'Folder for checkpoints, samples and logs; goes on where it stopped. Reports take several.'
)
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port of process 0, where no cluster tells it.')
_PROCESS_COUNT = flags.DEFINE_integer('process_count', None, 'Number of processes, with --coordinator.')
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Number of this process from 0, with --coordinator.')
_DISTRIBUTED = flags.DEFINE_bool(
    'distributed', False, "Several hosts, found in the cluster's environment variables (SLURM, TPU pod, Open MPI)."
)
# What absl says of a required flag that was not given.
_MISSING = re.compile(r'flag --(\w+)=None: Flag --\1 must have a value other than None\.')
_REMEDY = r'--\1 is missing; --help explains the flags.'
Fields = Sequence[tuple[str, str, str, str]]  # dotted name, default, what it may be, what it means


def run(
    train: Callable[[ConfigDict, Path], None],
    *,
    fields: Fields | Mapping[str, Fields],
    packages: tuple[str, ...],
    user_errors: tuple[type[Exception], ...],
    shared: bool = False,
) -> None:
    """Parses flags, sets up JAX, calls `train(config, workdir)` and exits.

    Args:
      train: the task.
      fields: of its config, for --help; by the kind of config where there are several.
      packages: whose log is shown, besides this one's.
      user_errors: exceptions, besides UserError, whose message is meant for the user.
      shared: whether several of these commands may work in one workdir at once.
    """
    config = config_flags.DEFINE_config_file('config', help_string='Path of a config file.', lock_config=True)
    flags.mark_flag_as_required('config')
    for flag in (config, _WORKDIR, _DISTRIBUTED, _COORDINATOR, _PROCESS_COUNT, _PROCESS_ID):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag.name])  # that --help shows it

    main_module = sys.modules['__main__']
    kinds = fields if isinstance(fields, Mapping) else {'the config': fields}
    listed = '\n\n'.join(f'Fields of {kind}:\n{_list_fields(own)}' for kind, own in kinds.items())
    main_module.__doc__ = f'{main_module.__doc__ or ""}\n{listed}'

    def main(argv: Sequence[str]) -> None:
        reject_arguments(argv)
        start_jax()
        with contextlib.nullcontext() if shared else one_writer(workdir()), measuring(_name_command()):
            train(config.value, workdir())

    run_command(main, packages=packages, user_errors=user_errors)


def _name_command() -> str:
    """The config and the fields that were changed in the command, as speeds are kept under."""
    config = flags.FLAGS['config']
    return name_command(config_flags.get_config_filename(config), config_flags.get_override_values(config))


def _list_fields(fields: Fields) -> str:
    lines = []
    for name, default, allowed, about in fields:
        lines += [f'  --config.{name}={default}', f'      {about}{f" ({allowed})" if allowed else ""}']
    return '\n'.join(lines)


def run_command(
    main: Callable[[Sequence[str]], None],
    *,
    packages: tuple[str, ...],
    user_errors: tuple[type[Exception], ...],
) -> None:
    """Parses flags, calls `main(argv)` and exits: 0, or 1 with one sentence for the user, or a traceback for us.

    Args:
      main: the command.
      packages, user_errors: see `run`.
    """
    expected: tuple[type[Exception], ...] = (UserError, *user_errors)

    def guarded(argv: Sequence[str]) -> None:
        sys.unraisablehook = _report_unraisable
        if isinstance(sys.stdout, io.TextIOWrapper):  # in a file, too, what is printed stays in order with the log
            sys.stdout.reconfigure(
                line_buffering=True, errors='backslashreplace'
            )  # names of files need not be text
        log_to_screen(('foundation', *packages))
        try:
            with interrupt_once():
                main(argv)
        except expected as error:
            sys.exit(f'Error: {error}')
        except KeyboardInterrupt:  # before training began, or after all was saved
            sys.stdout.flush()
            end_process('Interrupted.', 130)
        except OSError as error:
            sys.exit(f'Error: {error.strerror or error} ({error.filename or "while writing"}){_advice(error)}.')

    app.run(guarded, flags_parser=_parse_flags)


def _report_unraisable(event: Any) -> None:
    """Tells what was raised where nobody can catch it, but for late answers to the checkpoint library.

    After a failed write or read, its storage threads still call an event loop that is closed by then.
    """
    if not (isinstance(event.exc_value, RuntimeError) and str(event.exc_value) == 'Event loop is closed'):
        sys.__unraisablehook__(event)


def _advice(error: OSError) -> str:
    return '; free some space and run the same command again' if is_full(error) else ''


def workdir() -> Path:
    """The folder that --workdir names.

    Raises:
      UserError: when it was not given, or more than once.
    """
    folders = workdirs()
    if len(folders) > 1:
        raise UserError(f'--workdir is given {len(folders)} times; name one folder.')
    return folders[0]


def workdirs() -> list[Path]:
    """The folders that --workdir names, one or more.

    Raises:
      UserError: when it was not given.
    """
    if not _WORKDIR.value or not all(_WORKDIR.value):
        raise UserError('--workdir is missing; name the folder of the run.')
    return [Path(folder) for folder in _WORKDIR.value]


def python() -> str:
    """How the user calls this Python: its path in this folder's environment, or plain `python`."""
    executable, here = Path(sys.executable), Path.cwd()
    return str(executable.relative_to(here)) if executable.is_relative_to(here) else 'python'


def reject_arguments(argv: Sequence[str]) -> None:
    """Raises UserError when something on the command line is not a flag."""
    if len(argv) > 1:
        raise UserError(f'{argv[1]!r} is not a flag; did you mean --{argv[1].lstrip("-")}?')


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    """absl's own parser, with the errors of config files and fields as one sentence."""
    try:
        rest = flags.FLAGS(argv)
        # A config that could not be read says so only when it is first touched.
        getattr(flags.FLAGS['config'].value if 'config' in flags.FLAGS else None, 'keys', None)
        return rest
    except flags.Error as error:
        # What a config's `get_config(variant)` raises comes as a whole traceback; its last line tells the reason.
        text = str(error)
        if 'Traceback (most recent' in text:
            text = f'the config cannot be used: {text.splitlines()[-1]}'
        sys.exit(f'Error: {_MISSING.sub(_REMEDY, _one_line(text))}')
    except Exception as error:  # a config file is code, and may raise anything
        sys.exit(f'Error: the config cannot be used: {_describe(error)}')


def _describe(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}.'
    wrapped = error.args[0] if error.args and isinstance(error.args[0], KeyError) else error
    if isinstance(wrapped, KeyError):  # ml_collections' "Did you mean", which str() would quote
        return f'there is no field {_one_line(str(wrapped.args[0]))}'
    if isinstance(error, OSError):  # whose last line tells the reason, after all the places searched
        return str(error).splitlines()[-1].strip()
    return f'{type(error).__name__}: {_one_line(str(error))}'


def _one_line(text: str) -> str:
    return ' '.join(text.split())


def start_jax_alone(command: str) -> None:
    """`start_jax`, for a command that several processes cannot share.

    Raises:
      UserError: see `start_jax`; and where there are several.
    """
    start_jax()
    if jax.process_count() > 1:
        raise UserError(f'{command} runs on one process; leave --distributed and --coordinator out.')


def start_jax() -> None:
    """Joins the other processes, where there are any, keeps compiled programs, and checks that JAX computes.

    Raises:
      UserError: for flags that do not go together, or a JAX that computes wrong numbers.
    """
    if _COORDINATOR.value:
        if None in (_PROCESS_COUNT.value, _PROCESS_ID.value):
            raise UserError('--coordinator needs --process_count and --process_id beside it.')
        _collectives_on_cpu()
        jax.distributed.initialize(_COORDINATOR.value, _PROCESS_COUNT.value, _PROCESS_ID.value)
    elif _PROCESS_COUNT.value is not None or _PROCESS_ID.value is not None:
        raise UserError('--process_count and --process_id need --coordinator beside them.')
    elif _DISTRIBUTED.value:
        _collectives_on_cpu()
        _join_cluster()
    jax.config.update('jax_compilation_cache_dir', str(CACHE / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    if not is_first_process():
        silence()
    check_arithmetic()


def _join_cluster() -> None:
    try:
        jax.distributed.initialize()
    except ValueError as error:  # something is in no environment variable
        raise UserError(
            f'--distributed: this is no cluster that JAX knows ({_one_line(str(error))}); name the processes with '
            '--coordinator, --process_count and --process_id.'
        ) from error


def _collectives_on_cpu() -> None:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
