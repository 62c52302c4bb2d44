"""How the generators of a study did by themselves: what `gan.evaluate` wrote, read as a file of another task."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.training import workdir as workdirs
from foundation.training.errors import UserError

_REPORT = Path('evaluation') / 'report.json'
SHOWN = ('frechet_distance', 'recall', 'coverage', 'authentic_percentage', 'copying_score')


@dataclasses.dataclass(frozen=True)
class Audit:
    """Scores of one generator.

    Attributes:
      name: of its folder.
      scores: title and value with interval, or why there is none.
    """

    name: str
    scores: dict[str, str]


def read_audits(folders: Mapping[str, Path]) -> list[Audit]:
    """Reads the reports of `gan.evaluate`.

    Args:
      folders: workdirs of the generators, by name.

    Raises:
      UserError: when a report is missing or damaged.
    """
    return [Audit(name, _read(name, folder)) for name, folder in folders.items()]


def _read(name: str, folder: Path) -> dict[str, str]:
    path, anew = folder / _REPORT, f'delete jobs/audit-{name}.json of the study and start it again'
    if not path.is_file():
        raise UserError(f'{path} is missing; {anew}.')
    report = workdirs.read_json(path.parent, path.name)
    try:
        scores = report['runs'][0]['scores']
        return {report['meanings'][score]['title']: _describe(scores[score]) for score in SHOWN}
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error!r}); {anew}.') from error


def _describe(score: Mapping[str, Any]) -> str:
    if score['value'] is None:
        return f'none: {score["reason"]}'
    if not score['interval']:
        return f'{score["value"]:.3g}'
    low, high = score['interval']
    return f'{score["value"]:.3g} [{low:.3g}, {high:.3g}]'
