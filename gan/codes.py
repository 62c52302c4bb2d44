"""Codes of real images, from the networks of a run whose family finds them: what `gan.encode` writes."""

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

import input_pipeline
from backbones.evaluation import count_confusion
from backbones.grids import draw_rows, save_picture
from foundation.files import write_file
from foundation.report.figures import write_figure
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from gan.embedding import draw_embedding
from gan.families import Coded
from gan.generator import RestoredRun
from gan.networks import Generator
from gan.recipe import ImageFormat
from gan.scores.prior import measure_prior
from gan.sources import SourceImages, rows_of

SHOWN, COLUMNS = 32, 8  # images of a grid; under each its reconstruction


@dataclasses.dataclass(frozen=True)
class CodedImages:
    """Codes of images, in their order.

    Attributes:
      keys: of the images.
      labels: -1 without one.
      classes: names of the labels.
      coded: see `Coded`, without reconstructions; of those, and their images, SHOWN evenly from all.
      images, reconstructions: see above; no reconstructions where the family has none.
      image_format: of both.
      prior: the distribution that codes shall have; '' where none is asked of them.
    """

    keys: tuple[str, ...]
    labels: Int[np.ndarray, ' image']
    classes: tuple[str, ...]
    coded: Mapping[str, np.ndarray]
    images: Float[np.ndarray, 'shown height width channel']
    reconstructions: Float[np.ndarray, 'shown height width channel'] | None
    image_format: ImageFormat
    prior: str = ''


def encode_images(
    run: RestoredRun,
    source: SourceImages,
    batch_size: int,
    take: Callable[[Float[np.ndarray, 'image height width channel']], None] | None = None,
) -> CodedImages:
    """Codes of all images.

    Args:
      run: whose networks find them.
      source: the images.
      batch_size: of them at a time.
      take: is given all reconstructions in their order, a batch at a time, where the family draws any.

    Raises:
      UserError: when the run's family finds no codes.
      DataError: when an image is damaged.
    """
    recipe = run.recipe
    encode = recipe.family.encode
    if encode is None:
        raise UserError(
            f'A run of architecture {recipe.architecture!r} has no encoder; train one of bigan, aae or infogan.'
        )
    networks = recipe.networks_at(run.stage.resolution, run.image_format)
    mapped = create_mapper(partial(encode, networks), parallel.create_mesh(), batch_size)
    variables = {name: network.variables for name, network in run.state.networks.items()}
    parts: list[Coded] = []
    labels: list[np.ndarray] = []
    shown: list[tuple[np.ndarray, np.ndarray | None]] = []
    chosen = source.choose(SHOWN)
    first = 0
    for batch in source.batches(batch_size):
        part = mapped(variables, batch.images)
        drawn = part.reconstructions
        if take is not None and drawn is not None:
            take(drawn)
        rows = rows_of(chosen, first, len(batch.images))
        shown.append((batch.images[rows], None if drawn is None else drawn[rows]))
        first += len(batch.images)
        parts.append(part._replace(reconstructions=None))  # of which a few are kept
        labels.append(batch.labels)
    drawn_rows = [own for _, own in shown if own is not None]
    return CodedImages(
        keys=source.keys,
        labels=np.concatenate(labels),
        classes=source.classes,
        coded=_join(parts),
        images=np.concatenate([own for own, _ in shown]),
        reconstructions=np.concatenate(drawn_rows) if drawn_rows else None,
        image_format=run.image_format,
        prior=_find_prior(networks['generator'], parts[0].codes.shape[1]),
    )


def _join(parts: Sequence[Coded]) -> dict[str, np.ndarray]:
    """What was found in all images, by its name."""
    found = [name for name, value in parts[0]._asdict().items() if value is not None]
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in found}


def _find_prior(generator: Generator, code_size: int) -> str:
    """That of the latents where codes stand in their place."""
    return generator.latent_distribution if code_size == generator.latent_size else ''


def anomaly_scores(coded: Mapping[str, np.ndarray], pixel_share: float) -> Float[np.ndarray, ' image']:
    """a |x - G(E(x))|_1 + (1 - a) |f(x, E(x)) - f(G(E(x)), E(x))|_1 (Zenati et al. 2018, arXiv:1802.06222).

    Args:
      coded: see `Coded`; with both distances.
      pixel_share: a, from 0 to 1; the paper: 0.9.
    """
    return pixel_share * coded['pixel_distances'] + (1 - pixel_share) * coded['feature_distances']


def purity(found: Int[np.ndarray, ' image'], labels: Int[np.ndarray, ' image']) -> float:
    """Share of images whose label is the most frequent one of what was found of them; NaN without labels."""
    known = labels >= 0
    if not known.any():
        return float('nan')
    found, labels = found[known], labels[known]
    counts = count_confusion(found, labels, 1 + int(max(found.max(), labels.max())))
    return float(counts.max(axis=1).sum() / known.sum())


def summarize(images: CodedImages, known_classes: tuple[str, ...]) -> dict[str, float]:
    """What can be said of all images together.

    Args:
      images: with their codes.
      known_classes: names of the classes that were found, in their order; () where they have none.
    """
    summary: dict[str, float] = {'images': float(len(images.labels))}
    if 'pixel_distances' in images.coded:
        summary['mean absolute error'] = float(images.coded['pixel_distances'].mean() / images.images[0].size)
    if 'class_probabilities' in images.coded:
        found, known = images.coded['class_probabilities'].argmax(axis=1), images.labels >= 0
        if known_classes and known_classes == images.classes and known.any():
            summary['class error'] = float((found != images.labels)[known].mean())
        elif not known_classes and known.any():
            summary['purity'] = purity(found, images.labels)
    distance = measure_prior(images.coded['codes'], images.prior) if images.prior else None
    if distance is not None:
        low, high = distance.floor
        summary |= {
            'MMD^2 of codes to the prior': distance.value,
            'of the prior to itself, least': low,
            'of the prior to itself, most': high,
        }
    return summary


def write_codes(out: Path, images: CodedImages, scores: np.ndarray | None, summary: Mapping[str, float]) -> None:
    """Writes codes.npz, codes.csv, summary.json, embedding.png and, where there are some, reconstructions.png.

    The folder is complete or absent whatever happens meanwhile.
    """
    names = {'keys': np.asarray(images.keys), 'classes': np.asarray(images.classes, str), 'labels': images.labels}
    arrays = {**images.coded, **names} | ({} if scores is None else {'anomaly_scores': scores})
    with input_pipeline.complete_folder(out.absolute(), overwrite=out.exists()) as folder:
        np.savez(folder / 'codes.npz', allow_pickle=False, **arrays)
        table = io.StringIO()
        csv.writer(table, lineterminator='\n').writerows(_rows(images, scores))
        write_file(folder / 'codes.csv', table.getvalue().encode())
        workdirs.write_json(folder / 'summary.json', dict(summary))
        write_figure(
            draw_embedding(images.coded['codes'], images.labels, images.classes), folder / 'embedding.png'
        )
        if images.reconstructions is not None:
            picture = draw_pairs(images.images, images.reconstructions, images.image_format)
            save_picture(picture, folder / 'reconstructions.png')


def _rows(images: CodedImages, scores: np.ndarray | None) -> Iterator[list[str]]:
    """A line of names, then one for each image."""
    columns: dict[str, np.ndarray] = {}
    for name, values in images.coded.items():
        singular = {'codes': 'code', 'class_probabilities': 'class_probability'}.get(name, name.removesuffix('s'))
        if values.ndim == 1:
            columns[singular] = values
        else:
            columns |= {f'{singular}_{number}': values[:, number] for number in range(values.shape[1])}
    if scores is not None:
        columns['anomaly_score'] = scores
    yield ['key', 'label', *columns]
    for row, (key, label) in enumerate(zip(images.keys, images.labels, strict=True)):
        name = images.classes[label] if 0 <= label < len(images.classes) else ''
        yield [key, name, *(f'{values[row]:.7g}' for values in columns.values())]


def draw_pairs(
    images: Float[np.ndarray, 'shown height width channel'],
    others: Float[np.ndarray, 'shown height width channel'],
    form: ImageFormat,
) -> UInt8[np.ndarray, 'rows columns 3']:
    """Rows of images, each above a row of the others."""
    return draw_rows((images, others), COLUMNS, form.channels, form.mask_classes)
