"""What is odd about a data set as a whole, and may be right all the same: asked in its summary."""

from collections.abc import Iterator, Mapping
from typing import Any

# Label maps of anatomy have more classes now and then; numbered cells or lesions nearly always.
_MANY_CLASSES = 20
# Pictures that use less of their type than this have hardly any contrast in its whole range.
_SLIVER = 1 / 4
_PICTURES = ('image_folder', 'paired_folder', 'arrays')


def find_questions(summary: Mapping[str, Any], source: str) -> list[str]:
    """Sentences for the user, each with what to do where the answer is no.

    Args:
      summary: see `Summarizer.finish`.
      source: the reader's name; '' where the data are not read from files.
    """
    return [*_about_masks(summary), *(_about_values(summary, source) if source in _PICTURES else ())]


def _about_masks(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary['mask_ids'] is None:
        return
    ids = [number for number in summary['mask_ids'] if number]
    if not ids:
        yield 'No mask marks anything: every pixel is background.'
        return
    missing = sorted(set(range(1, max(ids))) - set(ids))
    if len(ids) >= _MANY_CLASSES:
        yield (
            f'The masks have {len(ids)} classes, up to {max(ids)}: if these numbers count objects (cells, '
            'lesions) and are no classes, prepare with --mask_threshold=0, which makes them one class.'
        )
    elif missing:
        yield f'No mask has the class {_list(missing)}; ids stay as they are, so it counts as one that is empty.'
    if summary['foreground'] > 0.5:
        yield (
            f'The foreground covers {summary["foreground"]:.0%} of the pixels of all masks: if black and white '
            'are swapped, invert the masks.'
        )


def _about_values(summary: Mapping[str, Any], source: str) -> Iterator[str]:
    if summary['two_valued'] and source == 'image_folder':
        yield (
            f'{summary["two_valued"]} images hold two values only, as masks do: if they are masks, read them '
            'with their images by --source=paired_folder.'
        )
    stored, used = summary['stored_range'], summary['intensity_range']
    if stored is None or summary['dtype'] == 'float32' or summary['descending'] != 'none':
        return
    share = (used[1] - used[0]) / (stored[1] - stored[0])
    if share < _SLIVER:
        yield (
            f'The images use {used[0]:g} to {used[1]:g} of {stored[0]:g} to {stored[1]:g}, so there is hardly '
            'any contrast where the whole range is shown; --config.data.window=dataset shows what is used.'
        )


def _list(numbers: list[int]) -> str:
    return ', '.join(map(str, numbers))
