"""The images of a segmenter's run: opened as its recipe says, refused where nothing can be learnt of them."""

import dataclasses

import input_pipeline
from backbones.images import ImageRequest
from foundation.training.errors import UserError
from segment.recipe import Recipe


def open_stored(request: ImageRequest) -> input_pipeline.ImageData:
    """Opens the training split only to look at its records as they are stored.

    Raises:
      DataError: when the data set is missing or damaged.
    """
    plain = dataclasses.replace(request.preprocessing, window='volume', fit='pad', mask_classes=0, context=0)
    stored = dataclasses.replace(request, preprocessing=plain, foreground_share=0.0)
    return stored.open('train', flip=False, in_memory=False)


def open_images(recipe: Recipe, split: str, *, train: bool) -> input_pipeline.ImageData:
    """Opens a split as the network sees it.

    Raises:
      DataError: when the data set is missing, damaged, or not what the recipe expects.
    """
    share = recipe.images.foreground_share if train else 0.0
    request = dataclasses.replace(recipe.images, foreground_share=share)
    return request.open(split, flip=train, in_memory=train)


def describe_known(training: ImageRequest, images: input_pipeline.ImageData) -> str:
    """Whom of these images a network may have been trained on, by their names; '' where it is none of them.

    Args:
      training: the data of the network's run.
      images: of other data.
    """
    try:
        trained = open_stored(training)
    except input_pipeline.DataError:
        return (
            f'Note: {training.name} is not on this machine, so nobody can tell whether the network was trained on '
            'these patients.'
        )
    if not (trained.patients_known and images.patients_known):
        return (
            f'Note: the patients of {images.name} or of {trained.name} are not known, so nobody can tell whether '
            'the network was trained on them.'
        )
    known = set(trained.records.patients) & set(images.records.patients)
    if not known:
        return ''
    return (
        f'{len(known)} patients are named like training patients of {trained.name}, as {min(known)!r}; if they '
        'are the same, the scores flatter the network.'
    )


def check_images(recipe: Recipe, images: input_pipeline.ImageData, validation: input_pipeline.ImageData) -> None:
    """Checks that the training and the validation images suit the network.

    Raises:
      UserError: when there are no volumes for a network of these, images that are to stay as they are have no
        room, a class is in no training mask, or nothing is in those of the validation split.
    """
    if recipe.slices is not None and images.num_cases == images.num_examples:
        raise UserError(f'{images.name} has single images, no volumes; use --config.dimensions=2.')
    wanted, largest = recipe.images.preprocessing, max(images.largest_side, validation.largest_side)
    if wanted.fit == 'native' and largest > wanted.resolution:
        raise UserError(
            f'The largest image has {largest} pixels a side, more than config.resolution, {wanted.resolution}; '
            'make that larger, or use --config.data.fit=pad.'
        )
    shown = images.class_images
    for class_id in range(1, wanted.mask_classes + 1 if shown else 0):
        if class_id > len(shown) or not shown[class_id - 1]:
            raise UserError(
                f'{images.name}: no training image shows class {class_id} of {wanted.mask_classes}, so it cannot '
                'be learnt; split the patients otherwise, or number the classes in the masks without it.'
            )
    if shown and not any(validation.class_images):
        raise UserError(f'{images.name}: no validation image shows any foreground; give that split some that do.')
