"""What names of files, folders and patients become in a data set: keyed hashes, the same wherever the key is.

Readers hand over names as they found them; here they are replaced, before splits are drawn and anything is
written. Without the key nobody can tell whether a name that he guesses is in a set. What the names were stands in
one file beside the data set, `private_paths.csv`, which only its owner can read.
"""

import collections
import contextlib
import csv
import dataclasses
import functools
import hashlib
import hmac
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from input_pipeline.dataset.summary import RECORDS_FILE
from input_pipeline.errors import DataError, Refusals, as_text
from input_pipeline.records import Item, Record

PRIVATE_FILE = 'private_paths.csv'
_DIGITS = 16  # hexadecimal, of a pseudonym
_PSEUDONYM = re.compile(rf'(?<![0-9a-f])[0-9a-f]{{{_DIGITS}}}(?![0-9a-f])')
_QUOTED = re.compile(r"""(?<!\w)(['"])(.+?)\1(?!\w)""")
_LIBRARY = re.compile(r'\((\w+): .*\)')  # the type of an error, and what a library says, which may quote a file
_AROUND = '.,:;()[]\'"'  # punctuation around a name in a sentence
# No names: articles, counts, places, and what layouts call folders and splits, which reasons need.
_PLAIN = re.compile(
    r'.{,2}|\d{1,4}|(image|img|mask|label|index|type|segmentation|annotation)s?|(images|labels)T[rs]|groundtruth|'
    r'index\.csv|train(ing)?|val(id|idation)?|test(ing)?'
)
_NUMBERS = re.compile(r'(/\d+)*')  # what readers put behind the key of an item


class Pseudonyms:
    """Replaces names, and remembers what they were as long as the command runs."""

    def __init__(self, key: bytes | None, roots: Sequence[Path] = ()) -> None:
        """Takes what decides the pseudonyms.

        Args:
          key: see `load_key`; None leaves all names as they are.
          roots: folders whose files are read; sentences may speak of any of them.
        """
        self._key, self._roots = key, roots
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The pseudonym of one name, whatever it holds; '' stays."""
        if self._key is None or not name:
            return name
        text = as_text(name)
        pseudonym = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:_DIGITS]
        self._known[pseudonym] = text
        return pseudonym

    def of_path(self, path: str) -> str:
        """The pseudonyms of its folders and of the file."""
        return '/'.join(map(self.of, path.split('/')))

    def of_key(self, key: str) -> str:
        """As of a path; the number that readers put behind a file or a series stays."""
        stem, slash, last = key.rpartition('/')
        return f'{self.of_path(stem)}/{last}' if slash and last.isdecimal() else self.of_path(key)

    def hide(self, items: Sequence[Item], known: Collection[str] = ()) -> list[Item]:
        """The items, their names and those of their records replaced.

        A class stays, unless all of it is of one patient whose name it holds: then it is no class, but a name.

        Args:
          items: as readers found them.
          known: patients that are pseudonyms already.
        """
        if self._key is None:
            return list(items)
        patients: dict[str, set[str]] = collections.defaultdict(set)
        for item in items:
            patients[item.label or ''].add('' if item.patient == item.key else item.patient)
        single = {label: next(iter(own)) for label, own in patients.items() if len(own) == 1}
        personal = {label for label, patient in single.items() if patient and patient in label}
        return [self._hide(item, personal, known) for item in items]

    def _hide(self, item: Item, personal: Collection[str], known: Collection[str]) -> Item:
        key = self.of_key(item.key)
        patient = key if item.patient == item.key else self.of(item.patient)
        hidden = dataclasses.replace(
            item,
            key=key,
            patient=item.patient if item.patient in known else patient,
            label=self.of(item.label) if item.label and item.label in personal else item.label,
        )
        return dataclasses.replace(hidden, load=functools.partial(self._load, item, hidden))

    def _load(self, item: Item, hidden: Item) -> Iterator[Record]:
        try:
            for record in item.load():
                number = record.key.removeprefix(item.key)
                yield dataclasses.replace(
                    record,
                    key=hidden.key + number if _NUMBERS.fullmatch(number) else self.of_key(record.key),
                    patient=hidden.patient,
                    label=hidden.label,
                    source=self.of_path(record.source),
                )
        except DataError as error:
            raise DataError(str(error).removeprefix(f'{item.key}: ')) from error

    def reveal(self, text: str) -> str:
        """The text with names in place of their pseudonyms, for the terminal."""
        return _PSEUDONYM.sub(lambda found: self._known.get(found[0], found[0]), text)

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """What is raised inside speaks of names as the user knows them."""
        try:
            yield
        except DataError as error:
            raise DataError(self.reveal(str(error))) from error

    def scrub(self, refusals: Refusals) -> Refusals:
        """What was refused and noted, fit to be kept: without names, and without what libraries say of a file."""
        if self._key is None or not (refusals.reasons or refusals.notes):
            return refusals
        reasons = {
            path if self._is_hidden(path) else self.of_path(path): reason
            for path, reason in refusals.reasons.items()
        }
        names = self._names()
        most = max((len(name.split()) for name in names), default=1)
        return dataclasses.replace(
            refusals,
            reasons={path: self._sentence(reason, names, most) for path, reason in reasons.items()},
            notes=[self._sentence(note, names, most) for note in refusals.notes],
        )

    def write_private(self, folder: Path, refused: Iterable[str]) -> None:
        """Tells what the pseudonyms in a data set stand for, in a file for its owner alone.

        Args:
          folder: of the data set, with its list of records.
          refused: pseudonyms of paths that are not in it.
        """
        if self._key is None:
            return
        descriptor = os.open(folder / PRIVATE_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, 'w', newline='', encoding='utf-8') as file:
            table = csv.writer(file, lineterminator='\n')
            table.writerow(('pseudonym', 'path'))
            with open(folder / RECORDS_FILE, newline='', encoding='utf-8') as records:
                rows = csv.DictReader(records)
                stored = [row[field] for row in rows for field in ('source', 'key', 'patient', 'label')]
            for pseudonym in dict.fromkeys([*stored, *refused, *sorted(self._known)]):
                path = self.reveal(pseudonym)
                if path != pseudonym:
                    table.writerow((pseudonym, path))

    def _is_hidden(self, path: str) -> bool:
        """Whether it is the key of an item that was hidden before it was refused."""
        return any(part in self._known for part in path.split('/'))

    def _names(self) -> set[str]:
        """All names that sentences may hold: paths, folders and files, with their suffixes and without."""
        found = {as_text(str(root)) for root in self._roots}
        paths = [PurePosixPath(name) for name in self._known.values()]
        for root in self._roots:
            for folder, folders, files in os.walk(root):
                below = PurePosixPath(os.path.relpath(folder, root))
                paths += [below / as_text(name) for name in (*folders, *files)]
        for path in paths:
            stem = path.with_suffix('') if path.name else path
            found |= {str(path), str(stem), *path.parts, stem.name, stem.name.partition('.')[0]}
        return {name for name in found if not _PLAIN.fullmatch(name)}

    def _sentence(self, text: str, names: Collection[str], most: int) -> str:
        """A sentence without the names in it, without what stands in quotes, and without a library's words.

        Args:
          text: the sentence.
          names: see `_names`.
          most: words of the longest of them.
        """
        text = _LIBRARY.sub(r'(\1)', text)
        text = _QUOTED.sub(lambda found: found[1] + self.of_path(found[2]) + found[1], text)
        subject, colon, rest = text.partition(': ')
        if colon and any(part in names for part in subject.split('/')):
            return f'{self.of_path(subject)}: {self._sentence(rest, names, most)}'
        words, shown, place = text.split(' '), [], 0
        while place < len(words):
            count = next((n for n in range(most, 1, -1) if self._bare(words[place : place + n]) in names), 1)
            whole = ' '.join(words[place : place + count])
            bare = self._bare([whole])
            is_name = bare in names or any(part in names for part in bare.split('/') if '/' in bare)
            shown.append(whole.replace(bare, self.of_path(bare)) if is_name else whole)
            place += count
        return ' '.join(shown)

    def _bare(self, words: Sequence[str]) -> str:
        return ' '.join(words).strip(_AROUND).rstrip('/')


CLEAR = Pseudonyms(None)  # of data that bear no names of others
