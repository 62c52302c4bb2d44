"""A folder of translated images: all that came in, and a manifest that no gate passes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from foundation.export.manifest import DERIVED, content_checksum, file_checksum, write_manifest
from foundation.files import write_file
from foundation.software import SOFTWARE, software_version
from foundation.training.errors import UserError
from gan.translation.files import TranslationWriter
from gan.translation.translator import Translator
from input_pipeline.atomic import resumable
from input_pipeline.errors import Refusals, of_one_file
from input_pipeline.inputs import Incoming, list_checksum
from input_pipeline.journal import AnswerJournal

REASON = (
    'Translated images are derived from patient data: each shows the anatomy of the patient of its source, and is '
    'as private as that. No check of likeness can make them safe to share.'
)


def translate_all(
    found: Sequence[Incoming], translator: Translator, out: Path, command: Mapping[str, Any], refusals: Refusals
) -> list[dict[str, Any]]:
    """Translates and writes one after the other; a file that fails is refused, and the others are translated.

    All is written beside its place first, so that a folder that exists is whole. What a stopped call with the same
    arguments translated is kept.

    Args:
      found: what came in.
      translator: of a run.
      out: new folder.
      command: all that decides the images beside these, as JSON has it.
      refusals: takes what fails.

    Returns:
      An entry of the manifest for each that was translated.

    Raises:
      UserError: when nothing could be translated; then there is no folder.
    """
    checksum = translator.checksum
    writer = TranslationWriter(translator.target, translator.run.image_format.channels, checksum)
    owner = {'command': dict(command), 'found': list_checksum(found), 'weights': checksum}
    rows: list[dict[str, Any]] = []
    with resumable(out.absolute(), owner | {'version': software_version()}) as journal:
        for incoming in tqdm.tqdm(found, unit=' cases'):
            with refusals.refusing(incoming.source):
                row = journal.find(incoming.name)
                rows.append(row or _translate(incoming, translator, writer, journal, refusals))
        if not rows:
            for source, reason in refusals.reasons.items():
                raise UserError(f'nothing could be translated; {source}: {reason.rstrip(".")}.')
        write_manifest(journal.folder, _describe(translator, rows, command, refusals))
    return rows


def _translate(
    incoming: Incoming,
    translator: Translator,
    writer: TranslationWriter,
    journal: AnswerJournal,
    refusals: Refusals,
) -> dict[str, Any]:
    refused = len(refusals.reasons)
    with of_one_file():
        case = incoming.load()
        files = [{'path': str(file), 'sha256': file_checksum(file)} for file in incoming.files_of(case)]
    shown = tqdm.tqdm(total=len(case.records), unit=' slices', desc=incoming.name, leave=False)
    with shown:
        values = writer.collect(incoming.kind, _counting(translator.translate(case), shown))
    with of_one_file():  # also what DICOM headers hold is converted only now
        contents = writer.encode(incoming, case, values)
    written = [f'images/{incoming.name}{ending}' for ending in contents]
    for name in written:
        if (journal.folder / name).exists():
            raise UserError(f'{name} holds the translation of another file already; translate this one by itself.')
    for name, content in zip(written, contents.values(), strict=True):
        write_file(journal.folder / name, content)
    row = {
        'name': incoming.name,
        'kind': incoming.kind,
        'slices': len(case.records),
        'files': files,
        'written': written,
    }
    if len(refusals.reasons) == refused:  # a series of which files were refused is read again, to tell so again
        journal.keep(incoming.name, row, written)
    return row


def _counting(slices: Iterator[Any], shown: tqdm.tqdm) -> Iterator[Any]:
    for own in slices:
        yield own
        shown.update(len(own))


def _describe(
    translator: Translator, rows: Sequence[Mapping[str, Any]], command: Mapping[str, Any], refusals: Refusals
) -> dict[str, Any]:
    """The manifest; of its sources the names of files alone, for folders may name patients."""
    run, facts = translator.run, translator.source.facts
    return {
        'synthetic': DERIVED,
        'software': {'name': SOFTWARE, 'version': software_version()},
        'command': dict(command),
        'model': {
            'weights_sha256': translator.checksum,
            'config_sha256': content_checksum(run.recipe.fields),
            'step': run.position.step,
            'images_seen': run.position.images_seen,
        },
        'data': {
            'name': run.facts.name,
            'fingerprint': run.facts.fingerprint,
            'split': run.recipe.split,
            'images': run.facts.num_examples,
            'patients': run.facts.num_patients if facts.num_patients < facts.num_examples else None,
            'patients_known': facts.num_patients < facts.num_examples,
            'licence': '',
        },
        'seed': 0,
        'count': sum(row['slices'] for row in rows),
        'format': 'as the sources',
        'licence': '',
        'date': '',
        'translation': {
            name: {'window': list(own.window), 'modality': own.modality}
            for name, own in {'source': translator.source, 'target': translator.target}.items()
        },
        'translated': [
            dict(row) | {'files': [{**file, 'path': Path(file['path']).name} for file in row['files']]}
            for row in rows
        ],
        'refused': dict(refusals.reasons),
        'release': {'verdict': 'fail', 'figures': {'reasons': [REASON]}},
    }
