"""What a data set holds beside images: colour, classes, masks."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from input_pipeline.dataset.catalogue import dataset_folder, find_data_dir
from input_pipeline.dataset.summary import SUMMARY_FILE, UNLABELLED
from input_pipeline.decode import reading


@dataclasses.dataclass(frozen=True)
class Content:
    """What may be used of a data set.

    Attributes:
      channels: of the stored images: 1 grey, 3 colour.
      classes: names.
      unlabelled: whether some images have no class, though others have.
      mask_classes: the highest class id in the masks; 0 where there are none, or all are empty.
      side: pixels of the longer side of most images; 0 where it is not known.
      phantom: what phantoms were drawn with, by field of the config's `data.phantom`; empty of other sets.
    """

    channels: int
    classes: tuple[str, ...]
    unlabelled: bool
    mask_classes: int
    side: int
    phantom: Mapping[str, Any]


def content_of(summary: Mapping[str, Any]) -> Content:
    """What the summary of a set that `prepare` wrote tells; see `Summarizer.finish`."""
    classes = tuple(name for name in summary['classes'] if name != UNLABELLED)
    return Content(
        channels=int(summary['channels']),
        classes=classes,
        unlabelled=len(classes) < len(summary['classes']),
        mask_classes=max(summary['mask_ids'] or [0]),
        side=max(summary['sizes']['most_common']),
        phantom=summary['options'].get('phantom', {}),
    )


def find_content(name: str, data_dir: Path | str | None) -> Content | None:
    """What a data set holds; None where there is none of this name yet.

    Raises:
      DataError: when it is damaged.
    """
    folder = dataset_folder(name, find_data_dir(data_dir))
    if folder is None:
        return None
    with reading(folder):
        if (folder / SUMMARY_FILE).is_file():
            return content_of(json.loads((folder / SUMMARY_FILE).read_text(encoding='utf-8')))
        features = tfds.builder_from_directory(folder).info.features
        has_classes = 'label' in features and isinstance(features['label'], tfds.features.ClassLabel)
        classes = tuple(features['label'].names) if has_classes else ()
        return Content(features['image'].shape[-1], classes, unlabelled=False, mask_classes=0, side=0, phantom={})
