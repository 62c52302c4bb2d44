"""What of a picture or a volume is looked at: which slices, which of their pixels, and in which window."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Shaped

import input_pipeline
from detect.calibration import Calibration
from detect.detector import TrainedDetector
from detect.sheets import Places, shrink
from detect.trained_network import Images
from input_pipeline import depth
from input_pipeline.cases import create_case, share_window
from input_pipeline.dataset.mixture import SHORTEST, crop_record, deciding_side, kept_scale, unify_record
from input_pipeline.preprocessing import convert_channels, stored_maximum
from input_pipeline.records import PERCENTILES, Record

_EVEN_SHARE, _EVEN_RANGE = 0.99, 0.05  # of the pixels of a blank picture, and how far they lie from its median
_PROBE = 128  # pixels along a side that tell whether a slice is blank
_SLICES_AT_A_TIME = 32
_SHOWN = 512  # pixels along a side of a picture that is seen in patches, as people are shown it
Window = str | tuple[float, float]
Seen = Float32[np.ndarray, 'image _ _ channel']
Content = tuple[slice, slice]


@dataclasses.dataclass(frozen=True)
class View:
    """What a detector looks at.

    Attributes:
      places: of the slices that are looked at, in the order of the case; those that are blank are left out.
      records: these, within their borders of one grey value, as the detector is given them.
      contents: rows and columns of each that lie within them.
      seen: as the network sees them, in [-1, 1]: whole images, or sheets.
      shown: as people are shown them, in [-1, 1].
      patches: places of the patches of each in its record; () of images that are seen as a whole.
      described: one sentence: which of the file's pixels, and how large they were made.
      note: one sentence, for images of another depth than the real ones of training: how they are shown.
    """

    places: tuple[int, ...]
    records: tuple[Record, ...]
    contents: tuple[Content, ...]
    seen: Seen
    shown: Images
    patches: tuple[Places, ...]
    described: str
    note: str | None

    def batches(self) -> Iterator[Seen]:
        """So many slices at a time, and the rest one by one: two shapes in all, so that little is compiled."""
        whole = len(self.seen) // _SLICES_AT_A_TIME * _SLICES_AT_A_TIME
        for start in range(0, whole, _SLICES_AT_A_TIME):
            yield self.seen[start : start + _SLICES_AT_A_TIME]
        for place in range(whole, len(self.seen)):
            yield self.seen[place : place + 1]


def create_view(case: input_pipeline.Case, detector: TrainedDetector) -> View | str:
    """What is looked at of a case; a sentence where nothing is: no network ever sees it.

    Raises:
      DataError: when its images cannot be made like those of training for another reason than their kind.
    """
    doubt = _find_doubt(case, detector)
    if doubt:
        return doubt
    uneven = ~find_blank(case.records)
    voting = [record for record, votes in zip(case.records, uneven, strict=True) if votes]
    voting = voting if uneven.all() else share_window(voting, PERCENTILES)
    window, note = _choose_window(voting[0], detector.calibration)
    contents = [detector.calibration.form.find_content(record, _shortest(detector)) for record in voting]
    records = [crop_record(*each) for each in zip(voting, contents, strict=True)]
    stored = _store(records, window, detector)
    shown, seen, patches = _show(stored, detector)
    votes = np.array([_spread(image) for image in shown]) > 2 * _EVEN_RANGE
    if not votes.any():
        many = f'Its {len(case.records)} slices are' if len(case.records) > 1 else 'It is'
        return f'{many} blank, or almost: fewer than 1% of the pixels differ from the rest.'
    kept = np.flatnonzero(votes)
    places = np.flatnonzero(uneven)[kept]
    return View(
        places=tuple(places.tolist()),
        records=tuple(stored[place] if patches else records[place] for place in kept),
        contents=tuple(contents[place] for place in kept),
        seen=seen[kept],
        shown=shown[kept],
        patches=tuple(patches[place] for place in kept) if patches else (),
        described=_describe(case, len(kept), contents[kept[0]], detector),
        note=note,
    )


def find_blank(slices: Sequence[Record]) -> Bool[np.ndarray, ' slice']:
    """Which slices of a volume are blank beside the others: what is in them counts, and not how many there are.

    A slice is, where fewer than 1% of its pixels lie farther from its median, in physical units, than a twentieth
    of what they do in the slice in which they lie farthest. A picture alone never is.
    """
    if len(slices) == 1:
        return np.zeros(1, bool)
    ranges = np.array([abs(record.intensity[1] - record.intensity[0]) for record in slices])
    spreads = ranges * [_spread(record.image) / stored_maximum(record.image.dtype) for record in slices]
    return (spreads <= _EVEN_RANGE * spreads.max()) & (spreads < spreads.max())


def _spread(image: Shaped[np.ndarray, 'height width channels']) -> float:
    """How far 99% of the pixels lie from the median at most; of large images, of evenly chosen lines."""
    rows, columns = (max(1, side // _PROBE) for side in image.shape[:2])
    values: Float32[np.ndarray, 'row column channel'] = image[::rows, ::columns].astype(np.float32)
    grey = values.mean(axis=-1)
    return float(np.quantile(np.abs(grey - np.median(grey)), _EVEN_SHARE))


def _find_doubt(case: input_pipeline.Case, detector: TrainedDetector) -> str:
    """Why nothing can be said of it; '' where something can."""
    calibration = detector.calibration
    modality, known = case.records[0].modality, set(calibration.modalities) - {'unknown'}
    if modality not in (*known, 'unknown') and known:
        return f'It is {modality}, and the detector was trained on {", ".join(sorted(known))} alone.'
    form = calibration.form.preprocessing
    if detector.recipe.sheet is not None:
        return _find_lack(case, detector)
    if calibration.form.is_native:
        form = detector.recipe.data.request.preprocessing
    side = min(_deciding_side(record, form) for record in case.records)
    if side < form.resolution:
        kind = 'longer' if form.fit == 'pad' else 'shorter'
        square = '' if float(side).is_integer() else ' once they are square'
        needed = f'and the detector needs {form.resolution}'
        return f'It has {int(side)} pixels along its {kind} side{square}, {needed}.'
    return ''


def _find_lack(case: input_pipeline.Case, detector: TrainedDetector) -> str:
    """What images have too few pixels for patches; '' where all have enough."""
    longest, needed = detector.calibration.form.preprocessing.resolution, _shortest(detector)
    shapes = [record.image.shape[:2] for record in case.records]
    kept = int(min(min(shape) * kept_scale(shape, longest) for shape in shapes))
    if kept >= needed:
        return ''
    return f'It has {kept} pixels along its shorter side, and the detector needs {needed}.'


def _shortest(detector: TrainedDetector) -> int:
    """Pixels of the shorter side of an image that keeps its own, at least: none is enlarged for the network."""
    sheet = detector.recipe.sheet
    return max(SHORTEST, detector.recipe.resolution if sheet is None else sheet.tile)


def _deciding_side(record: Record, form: input_pipeline.Preprocessing) -> float:
    height, width = record.image.shape[:2]
    return deciding_side(height, width, form.fit, form.scale(record.spacing))


def _choose_window(record: Record, calibration: Calibration) -> tuple[Window | None, str | None]:
    """The window of an image of another depth than the real ones of training, and what to say; else None."""
    form = calibration.form
    trained = calibration.depths or (('uint16',) if form.depth > 8 else ())
    wanted = form.preprocessing.window
    if not isinstance(wanted, str) and depth.is_measured(record):
        fits = depth.is_shown(record, wanted, trained)
    else:
        has_range = wanted != 'stored' or record.image.dtype.kind == 'u'
        fits = has_range and not depth.differs(record.image.dtype, trained)
    if fits:
        return None, None
    # Pictures of 8 bits were shown in their whole range beside deeper ones, see `MixtureForm`.
    window = 'stored' if record.image.dtype == np.uint8 and form.depth == 8 else depth.OWN
    return window, depth.describe(record, window, trained, whose='real training images')


def _store(records: Sequence[Record], window: Window | None, detector: TrainedDetector) -> list[Record]:
    """As the records of training were stored; what is judged passes for real on its way."""
    form = dataclasses.replace(detector.calibration.form, borders='kept')  # they are cut already
    return [unify_record(record, form, is_real=True, window=window) for record in records]


def _show(stored: Sequence[Record], detector: TrainedDetector) -> tuple[Images, Seen, list[Places]]:
    """What people are shown, what the network sees, and where its patches lie."""
    data = detector.recipe.data
    if data.showing is None:
        shown = input_pipeline.preprocess_case(create_case(list(stored)), data.request.preprocessing, None)
        return shown, shown, []
    sheet, channels = data.showing.sheet, data.request.preprocessing.channels
    images = [convert_channels(record.image, channels) for record in stored]
    side = min(_SHOWN, max(max(image.shape[:2]) for image in images))
    places = [sheet.choose(image, None) for image in images]
    sheets = [sheet.create(image, own) for image, own in zip(images, places, strict=True)]
    shown, seen = (
        input_pipeline.to_unit(np.stack(own)) for own in ([shrink(image, side) for image in images], sheets)
    )
    return shown, seen, places


def _describe(case: input_pipeline.Case, looked_at: int, content: Content, detector: TrainedDetector) -> str:
    """Which pixels were looked at, of the first slice, and what they were made for the network."""
    (height, width), (rows, columns) = case.records[0].image.shape[:2], content
    shown = _describe_making((rows.stop - rows.start, columns.stop - columns.start), detector)
    if len(case.records) > 1:
        within = ', each within its borders of one grey value' if _cuts_borders(detector) else ''
        left_out = len(case.records) - looked_at
        others = f' {left_out} of them, blank or almost, were left out.' if left_out else ''
        return f'{len(case.records)} slices of {height} x {width} pixels{within}, {shown}.{others}'
    if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
        return f'All {height} x {width} pixels, {shown}.'
    return (
        f'Rows {rows.start} to {rows.stop - 1} and columns {columns.start} to {columns.stop - 1} of '
        f'{height} x {width} pixels, counted from 0, {shown}; around them is a border of one grey value, '
        'which was cut off.'
    )


def _describe_making(shape: tuple[int, int], detector: TrainedDetector) -> str:
    """What is made of pixels of this height and width for the network."""
    sheet = detector.recipe.sheet
    if sheet is None:
        return f'made {detector.recipe.resolution} x {detector.recipe.resolution} pixels'
    scale = kept_scale(shape, detector.calibration.form.preprocessing.resolution)
    size = 'at their own size' if scale == 1 else f'at {scale:.0%} of their size'
    return (
        f'in {sheet.patches} patches of {sheet.tile} x {sheet.tile} {size}, and as a whole made '
        f'{sheet.tile} x {sheet.tile}'
    )


def _cuts_borders(detector: TrainedDetector) -> bool:
    return detector.calibration.form.borders == 'cut'
