"""`python -m gan.cite RUN [RUN2 ...]` prints the BibTeX of what runs used: networks, training, scores."""

from collections.abc import Sequence
from pathlib import Path

import input_pipeline
from foundation.training import launch
from foundation.training.errors import UserError
from gan.citations import find_papers, write_bibtex


def main(argv: Sequence[str]) -> None:
    """Prints each entry once; folders of runs, or of exported generators, follow the command."""
    folders = [Path(folder) for folder in argv[1:]]
    if not folders:
        raise UserError('No run is named; give the folders of one or more: gan.cite RUN [RUN2 ...].')
    papers = dict.fromkeys(key for folder in folders for key in find_papers(folder))
    print(write_bibtex(list(papers)), end='')


if __name__ == '__main__':
    launch.run_command(main, packages=('gan',), user_errors=(input_pipeline.DataError,))
