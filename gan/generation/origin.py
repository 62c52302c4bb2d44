"""Where the images of a generator come from: its run, and what is still known of its data."""

import dataclasses
import logging

import input_pipeline
from foundation.export.manifest import content_checksum
from foundation.export.origin import Data, Model, Origin, ValueForm
from foundation.software import software_version
from gan.generator import TrainedGenerator
from gan.reporting.runs import ReportedRun

_LOGGER = logging.getLogger(__name__)


def find_origin(trained: TrainedGenerator, run: ReportedRun, seed: int) -> Origin:
    """Gathers it; a data set that is gone or has changed costs modality, spacing and licence, and is told."""
    resolution, facts, image_format = trained.network.resolution, trained.facts, trained.image_format
    provenance = _find_provenance(run, resolution)
    return Origin(
        model=Model(
            weights_sha256=trained.checksum(),
            config_sha256=content_checksum(run.recipe.fields),
            step=trained.position.step,
            images_seen=trained.position.images_seen,
            alpha=float(trained.weights.alpha),
            resolution=resolution,
            privacy=None if trained.privacy is None else dataclasses.asdict(trained.privacy),
        ),
        data=Data(
            name=facts.name,
            fingerprint=facts.fingerprint,
            split=run.recipe.split,
            images=facts.num_examples,
            patients=facts.num_patients if provenance.patients_known else None,
            licence=provenance.licence,
            patients_known=provenance.patients_known,
        ),
        form=ValueForm(
            channels=image_format.channels,
            classes=facts.classes if image_format.num_classes else (),
            mask_classes=image_format.mask_classes,
            dtype=facts.dtype,
            intensity=facts.intensity,
            lowest=facts.lowest,
            modality=provenance.modality,
            spacing=provenance.spacing,
        ),
        seed=seed,
        version=software_version(),
    )


def _find_provenance(run: ReportedRun, resolution: int) -> input_pipeline.Provenance:
    images, reason = run.recipe.images, 'has changed since'
    try:
        found = input_pipeline.find_provenance(
            images.name,
            images.data_dir,
            run.recipe.split,
            modalities=images.modalities,
            classes=images.classes,
            preprocessing=images.preprocessing,
            resolution=resolution,
        )
        if found.fingerprint == run.facts.fingerprint:
            return found
    except input_pipeline.DataError as error:
        reason = f'cannot be opened ({error})'
    _LOGGER.warning(
        'The training data %r %s; modality, spacing and licence of the data are not told.',
        images.name,
        reason,
    )
    return input_pipeline.Provenance(
        run.facts.fingerprint,
        modality='unknown',
        spacing=None,
        licence='',
        patients_known=run.facts.num_patients < run.facts.num_examples,  # all that is left to tell it
    )
