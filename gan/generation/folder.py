"""Writing generated images into a new folder, with their manifest and the model card."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

import input_pipeline
from foundation.export.folder import Writer
from foundation.export.manifest import Release, read_manifest, write_manifest
from foundation.export.origin import Origin
from foundation.software import SOFTWARE
from foundation.training.errors import UserError
from gan.generation.card import CARD_FILE, Edition, write_card
from gan.generation.signatures import SigningRequest, sign_release
from gan.generation.writers import create_writer
from gan.reporting.runs import ReportedRun
from gan.sampler import Drawn
from gan.watermark import Watermark


@dataclasses.dataclass(frozen=True)
class GenerationRequest:
    """What is written.

    Attributes:
      out: new folder for the images.
      image_format: one of `writers.FORMATS`.
      count: images.
      licence: under which they are shared; '' where it is not stated.
      date: as the user gave it; '' without one. No other is written: the same command gives the same bytes.
      command: the flags that decided the images, as JSON has them.
      signing: how it is signed; None for not at all.
      watermark: that is written into every image; None for none.
    """

    out: Path
    image_format: str
    count: int
    licence: str
    date: str
    command: Mapping[str, Any]
    signing: SigningRequest | None
    watermark: Watermark | None


def check_out(out: Path) -> None:
    """Raises UserError when the folder exists and is not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out} exists already; give --out a new folder.')


def write_images(
    drawn: Iterable[Drawn],
    order: GenerationRequest,
    run: ReportedRun,
    origin: Origin,
    judge: Callable[[], Release],
) -> Release:
    """Writes images, their manifest and the model card into a new folder.

    Everything is written beside it first, so that a folder that exists is whole.

    Args:
      drawn: candidates that passed, in rising order of their numbers; numbers may be left out.
      order: what to write.
      run: that trained the generator.
      origin: of the images.
      judge: called when all are written. What it gives goes into the manifest; when it raises, nothing is kept.

    Returns:
      What `judge` gave.

    Raises:
      UserError: when the folder exists and is not empty, or the format cannot hold these images, or they are not
        finite.
      DataError: when the images cannot become a data set.
    """
    out = order.out.absolute()
    check_out(order.out)
    with input_pipeline.complete_folder(out, overwrite=False) as folder:
        signer = order.signing.create_signer() if order.signing else None
        writer = create_writer(
            order.image_format, folder, origin, name=out.name, licence=order.licence, signer=signer
        )
        classes = _write_all(drawn, writer, origin, order)
        count = sum(classes.values())
        release = judge()
        mark = '' if order.watermark is None else order.watermark.describe()['payload']
        edition = Edition(count, order.image_format, order.licence, order.date, mark)
        write_card(folder / CARD_FILE, run, origin, edition, release)
        write_manifest(folder, _describe(order, origin, classes, release))
        if order.signing:
            sign_release(folder, read_manifest(folder), order.signing.keys, order.signing.time)
    return release


def _write_all(drawn: Iterable[Drawn], writer: Writer, origin: Origin, order: GenerationRequest) -> dict[str, int]:
    """Writes all images and returns how many there were of each class; '' where there are no classes."""
    counts: collections.Counter[str] = collections.Counter()
    classes, dtype = origin.form.classes, np.dtype(origin.form.dtype)
    with tqdm.tqdm(total=order.count, unit=' images') as bar:
        for batch in drawn:
            _check_finite(batch)
            for image, mask, label, number in zip(
                batch.images, batch.masks, batch.labels, batch.numbers, strict=True
            ):
                stored = input_pipeline.from_unit(image, dtype)
                if order.watermark is not None:
                    stored = order.watermark.apply(stored)
                name = classes[label] if classes else ''
                writer.write(stored, mask, name, int(number))
                counts[name] += 1
            bar.update(len(batch.images))
    writer.finish()
    return dict(sorted(counts.items()))


def _check_finite(batch: Drawn) -> None:
    finite = np.isfinite(batch.images).all(axis=(1, 2, 3))
    if not finite.all():
        raise UserError(
            f'image {batch.numbers[~finite][0]} has values that are not finite: training has diverged; '
            'use an earlier checkpoint (--step, --best).'
        )


def _describe(
    order: GenerationRequest, origin: Origin, classes: Mapping[str, int], release: Release
) -> dict[str, Any]:
    return {
        'synthetic': 'yes',
        'software': {'name': SOFTWARE, 'version': origin.version},
        'command': dict(order.command),
        'model': dataclasses.asdict(origin.model),
        'data': dataclasses.asdict(origin.data),
        'seed': origin.seed,
        'count': sum(classes.values()),
        'classes': {name: number for name, number in classes.items() if name},
        'spacing': origin.form.spacing,  # millimetres between rows and columns; null where they are unknown
        'format': order.image_format,
        'licence': order.licence,
        'date': order.date,
        'release': {'verdict': release.verdict, 'figures': dict(release.figures)},
        **({} if order.watermark is None else {'watermark': order.watermark.describe()}),
    }
