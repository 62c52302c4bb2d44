"""The window in which a trained network is shown images from files: that of its training, or the file's own."""

import input_pipeline
from backbones.images import DataFacts
from foundation.training.errors import UserError
from input_pipeline import depth

Window = str | tuple[float, float]


def choose_window(
    record: input_pipeline.Record, facts: DataFacts, preprocessing: input_pipeline.Preprocessing
) -> tuple[Window, str]:
    """The window that training had, or that of the images where it means nothing for them, with what to say.

    Args:
      record: one of a volume, or alone.
      facts: the data that the network was trained on.
      preprocessing: as in its training.

    Returns:
      The window, and a sentence; '' where there is nothing to say.

    Raises:
      UserError: when the data of the training have no common window, and it asked for one.
    """
    trained, window = trained_types(facts, preprocessing), trained_window(facts, preprocessing)
    foreign = depth.differs(record.image.dtype, trained)
    fits = True
    if window == 'stored':
        fits = str(record.image.dtype) == facts.dtype
    elif not isinstance(window, str):
        fits = depth.is_shown(record, window, trained)
    chosen = window if fits else depth.OWN
    return chosen, depth.describe(record, chosen, trained) if foreign or not fits else ''


def trained_types(facts: DataFacts, preprocessing: input_pipeline.Preprocessing) -> tuple[str, ...]:
    """Stored types of the training images; () where nothing tells."""
    if facts.stored:
        return (facts.stored,)
    # Older runs: only pictures of 8 bits in their whole range stay 8 bits.
    told = facts.dtype == 'uint8' or preprocessing.window in ('auto', 'stored')
    return (facts.dtype,) if told else ()


def trained_window(facts: DataFacts, preprocessing: input_pipeline.Preprocessing) -> Window:
    """The window that training had, without 'auto' and 'dataset'.

    Raises:
      UserError: when the data of the training have no common window, and it asked for one.
    """
    window = preprocessing.window
    if window == 'auto':
        return 'stored' if facts.dtype == 'uint8' else 'volume'
    if window == 'dataset':
        if facts.intensity is None:
            raise UserError(
                'The data of this run have no common window, for brightness falls with the value in some; '
                'train with --config.data.window=volume.'
            )
        return min(facts.intensity), max(facts.intensity)
    return window
