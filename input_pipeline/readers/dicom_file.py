"""One DICOM file: its header, checked before anything is decoded, and its frames one by one."""

import contextlib
import gzip
import logging
import math
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from jaxtyping import Bool, Num
from pydicom.filereader import _read_file_meta_info, read_partial, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, decoders, iter_pixels, pixel_array
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from input_pipeline.errors import DataError, one_line
from input_pipeline.readers.codestreams import check_claims
from input_pipeline.readers.isolated import decode_apart
from input_pipeline.readers.pixels import check_size, check_volume_size
from input_pipeline.records import Dtype

logging.getLogger('pydicom').setLevel(logging.CRITICAL)  # its tracebacks; refusals say what was wrong
# GDCM ends the whole process on some damaged files: it decodes only what nothing else can, lossless JPEG, and that
# in a process of its own.
for _decoder in (
    decoders.JPEGBaseline8BitDecoder,
    decoders.JPEGExtended12BitDecoder,
    decoders.JPEGLSLosslessDecoder,
    decoders.JPEGLSNearLosslessDecoder,
    decoders.JPEG2000LosslessDecoder,
    decoders.JPEG2000Decoder,
):
    _decoder.remove_plugin('gdcm')
decoders.RLELosslessDecoder.remove_plugin('pylibjpeg')  # panics past `except Exception` on damaged files

_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}  # Float Pixel Data, Double Float Pixel Data, Pixel Data
_ENCAPSULATED = 0xFFFFFFFF  # the length that compressed pixel data declare
_LARGEST_UNPACKED = 4 * 2**30  # bytes
_NOT_IMAGES = {'SEG': 'a segmentation'}
# How the SOP classes of objects that never hold an image begin (PS3.6, table A-1), and what they are.
_MOST_INFLATED = 2**28  # bytes of a deflated file: pydicom inflates it whole, and pixels are copied from there
_STORAGE = '1.2.840.10008.5.1.4.1.1.'
_IMAGELESS = {
    '1.2.840.10008.1.3.10': 'DICOMDIR',
    f'{_STORAGE}4.2': 'MR spectroscopies',
    f'{_STORAGE}9.': 'waveforms',
    f'{_STORAGE}11.': 'presentation states',
    f'{_STORAGE}66.1': 'registrations',
    f'{_STORAGE}66.2': 'fiducials',
    f'{_STORAGE}66.3': 'registrations',
    f'{_STORAGE}67': 'real world value mappings',
    f'{_STORAGE}88.59': 'key object selections',
    f'{_STORAGE}88.': 'structured reports',
    f'{_STORAGE}104.': 'encapsulated documents',
    f'{_STORAGE}481.3': 'structure sets',
    **dict.fromkeys((f'{_STORAGE}481.{number}' for number in (5, 8)), 'radiotherapy plans'),
    **dict.fromkeys((f'{_STORAGE}481.{number}' for number in (4, 6, 7, 9)), 'records of radiotherapy'),
}


class ImagelessError(DataError):
    """An object of a kind that never holds an image, such as a report.

    Attributes:
      kind: what it is, as a plural.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_dicom(path: Path) -> bool:
    """Whether the file, or what is packed in a .gz, starts as DICOM does; old archives lack the preamble."""
    try:
        with gzip.open(path) if _is_packed(path) else path.open('rb') as file:
            start = file.read(132)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    groups = (int.from_bytes(start[:2], order) for order in ('little', 'big'))
    return start[128:] == b'DICM' or (len(start) > 8 and any(group in (0x0002, 0x0008) for group in groups))


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The file itself; of a .gz, for as long as it is needed, what is packed in it.

    Raises:
      DataError: it is damaged, or inflates to more than any file that would be read.
    """
    if not _is_packed(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix='.dcm') as whole:
        left = _LARGEST_UNPACKED
        try:
            with gzip.open(path) as packed:
                while chunk := packed.read(2**20):
                    left -= len(chunk)
                    if left < 0:
                        raise DataError(f'inflates to more than {_LARGEST_UNPACKED // 2**30} GiB')
                    whole.write(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f'is a damaged .gz file ({error})') from error
        whole.flush()
        yield Path(whole.name)


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == '.gz'


def read_header(path: Path, pixel_limit: int) -> pydicom.Dataset:
    """All elements before the pixels, of an object that holds an image.

    Raises:
      ImagelessError: an object without pixels, as is right for its kind.
      DataError: unreadable, no pixels, too many, or fewer bytes than they need.
    """
    found: dict[str, int] = {}

    def at_pixels(tag: Any, _representation: str | None, length: int) -> bool:
        if tag in _PIXELS:
            found['length'] = length
        return bool(found)

    try:
        with path.open('rb') as file:
            _check_inflated_size(file, pixel_limit)
            header = read_partial(file, at_pixels, force=True)
            place = file.tell()
            # Past tag, type and length; some headers are in another encoding than they declare.
            start = place + (12 if file.read(6)[4:].isalpha() else 8)
    except DataError:
        raise
    except Exception as error:  # pydicom raises many kinds on damaged bytes
        raise DataError(f'is not readable as DICOM ({type(error).__name__})') from error
    modality = str(header.get('Modality') or 'unknown modality')
    if not found or not header.get('Rows') or not header.get('Columns'):
        object_class = str(header.get('SOPClassUID') or header.file_meta.get('MediaStorageSOPClassUID', ''))
        kind = next((kind for start, kind in _IMAGELESS.items() if object_class.startswith(start)), '')
        message = f'holds no pixels ({modality})'
        raise DataError(message) if found or not kind else ImagelessError(message, kind)
    if modality in _NOT_IMAGES:
        raise DataError(f'holds {_NOT_IMAGES[modality]}, not an image')
    check_size(header.Rows * header.Columns, pixel_limit)
    check_volume_size(header.Rows * header.Columns * frame_count(header), pixel_limit)
    length = found['length']
    if length != _ENCAPSULATED:
        _check_length(header, length, path.stat().st_size - start)
    else:
        check_claims(path, start, header, _transfer_syntax(header))
    return header


def _check_inflated_size(file: BinaryIO, pixel_limit: int) -> None:
    """Refuses a deflated file that would not fit in memory: pydicom inflates such files whole."""
    read_preamble(file, force=True)
    # As pydicom reads it, up to where it begins to inflate: what the header says of its length is not asked.
    if _read_file_meta_info(file).get('TransferSyntaxUID') == DeflatedExplicitVRLittleEndian:
        allowed = min(4 * pixel_limit, _MOST_INFLATED)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while chunk := inflater.unconsumed_tail or file.read(2**16):
            allowed -= len(inflater.decompress(chunk, 2**20))
            if allowed < 0:
                raise DataError('inflates to more than is read of deflated files; store it without compression')
    file.seek(0)


def _check_length(header: pydicom.Dataset, declared: int, available: int) -> None:
    try:
        needed = get_expected_length(header, 'bytes')
    except Exception as error:  # an element is missing, or of the wrong kind
        raise DataError(f'does not describe its pixels ({type(error).__name__})') from error
    is_deflated = _transfer_syntax(header) == DeflatedExplicitVRLittleEndian
    length = declared if is_deflated else min(declared, available)
    if length < needed:
        raise DataError(f'is truncated: its pixels need {needed} bytes, the file has {length}')


def _transfer_syntax(header: pydicom.Dataset) -> UID:
    """The file's transfer syntax, or the uncompressed one that its header was read with."""
    declared = header.file_meta.get('TransferSyntaxUID')
    if declared:
        return declared
    is_implicit, is_little_endian = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def frame_count(header: pydicom.Dataset) -> int:
    """Number of frames; 1 where the header does not say."""
    return max(1, int(header.get('NumberOfFrames') or 1))


def functional(header: pydicom.Dataset, frame: int, macro: str, keyword: str) -> Any:
    """A value of one frame: from its own functional group, the shared one, or the top level (or None).

    Source: DICOM PS3.3, C.7.6.16 (multi-frame functional groups).
    """
    own = (header.get('PerFrameFunctionalGroupsSequence') or [])[frame : frame + 1]
    for group in (*own, *(header.get('SharedFunctionalGroupsSequence') or [])):
        for item in group.get(macro) or []:
            if item.get(keyword) is not None:
                return item.get(keyword)
    return header.get(keyword)


def orientation(header: pydicom.Dataset, frame: int) -> list[float]:
    """Direction cosines of a row and of a column (ImageOrientationPatient, C.7.6.2); empty where unknown."""
    return _numbers(header, frame, 'PlaneOrientationSequence', 'ImageOrientationPatient', 6)


def position(header: pydicom.Dataset, frame: int) -> list[float]:
    """Millimetres of the centre of the first pixel (ImagePositionPatient, C.7.6.2); empty where unknown.

    One position for several frames is that of the first; GridFrameOffsetVector (C.8.8.3.2) tells those of the
    others, or nothing does.
    """
    first = _numbers(header, frame, 'PlanePositionSequence', 'ImagePositionPatient', 3)
    if frame_count(header) == 1 or not first or _has_own(header, frame, 'PlanePositionSequence'):
        return first
    offsets, axes = header.get('GridFrameOffsetVector') or [], orientation(header, frame)
    if len(offsets) != frame_count(header) or not axes:
        return []
    normal = np.cross(axes[:3], axes[3:])
    return (np.array(first) + normal * (float(offsets[frame]) - float(offsets[0]))).tolist()


def _has_own(header: pydicom.Dataset, frame: int, macro: str) -> bool:
    """Whether a frame has a functional group of its own of this kind."""
    own = (header.get('PerFrameFunctionalGroupsSequence') or [])[frame : frame + 1]
    return any(group.get(macro) for group in own)


def _numbers(header: pydicom.Dataset, frame: int, macro: str, keyword: str, count: int) -> list[float]:
    values = [float(value) for value in functional(header, frame, macro, keyword) or ()]
    return values if len(values) == count else []


def rescale(header: pydicom.Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept to Hounsfield, gray, or the scanner's own units."""
    if header.get('ModalityLUTSequence') or header.SamplesPerPixel > 1:
        return 1.0, 0.0
    if header.get('DoseGridScaling'):
        return float(header.DoseGridScaling), 0.0
    slope, intercept = (
        functional(header, frame, 'PixelValueTransformationSequence', keyword)
        for keyword in ('RescaleSlope', 'RescaleIntercept')
    )
    return float(1 if slope is None else slope), float(0 if intercept is None else intercept)


def stored_as(header: pydicom.Dataset) -> tuple[Dtype, int]:
    """The type its images are stored in, and their channels."""
    channels = 3 if header.SamplesPerPixel > 1 or _is_palette(header) else 1
    bits = header.BitsAllocated
    if _is_palette(header):
        entries = header.RedPaletteColorLookupTableDescriptor[0] or 2**16
        data = header.get('RedPaletteColorLookupTableData')
        bits = len(data) * 8 // entries if data else header.RedPaletteColorLookupTableDescriptor[2]
    elif header.get('ModalityLUTSequence'):
        bits = header.ModalityLUTSequence[0].LUTDescriptor[2]
    return ('uint8' if bits <= 8 else 'uint16' if bits <= 16 else 'float32'), channels


def _is_palette(header: pydicom.Dataset) -> bool:
    return header.PhotometricInterpretation == 'PALETTE COLOR'


def read_frames(path: Path, header: pydicom.Dataset) -> Iterator[Num[np.ndarray, 'height width channel']]:
    """Stored values frame by frame, so that memory holds one: luminance and palettes as RGB.

    Raises:
      DataError: a decoder is missing, or the pixels are truncated or damaged.
    """
    try:
        frames = _iterate(path, header)
        count = 0
        for frame in frames:
            if _is_palette(header):
                frame = apply_color_lut(frame, header)[..., :3]
            elif header.get('ModalityLUTSequence'):
                frame = apply_modality_lut(frame, header)
            else:
                frame = _as_declared(frame, header)
            yield frame if frame.ndim == 3 else frame[..., np.newaxis]
            count += 1
    except DataError:
        raise
    except Exception as error:
        raise DataError(f'its pixels cannot be decoded ({one_line(error)})') from error
    if count < frame_count(header):
        raise DataError(f'is truncated: it has {count} of {frame_count(header)} frames')


def _has_odd_bits(header: pydicom.Dataset) -> bool:
    """Whether stored values lie in other bits than the lowest, as older standards allowed."""
    stored = int(header.get('BitsStored') or header.BitsAllocated)
    return header.SamplesPerPixel == 1 and int(header.get('HighBit', stored - 1)) != stored - 1


def _as_declared(values: Num[np.ndarray, 'height width *channel'], header: pydicom.Dataset) -> np.ndarray:
    """Values in the bits that the header declares (PS3.5, 8.1.1): decoders return others of some files.

    Stored values end at HighBit; what lies in bits above is none of theirs, and signed ones are two's complement.
    Compressed values have no other bits; those of a lossy compression may pass the ends a little.

    Raises:
      DataError: BitsStored and HighBit do not go together, or compressed values lie far outside of them.
    """
    stored, allocated = int(header.get('BitsStored') or header.BitsAllocated), int(header.BitsAllocated)
    last = int(header.get('HighBit', stored - 1))
    if values.dtype.kind not in 'iu' or stored >= allocated or allocated > 32 or header.SamplesPerPixel > 1:
        return values
    is_compressed = _transfer_syntax(header).is_encapsulated and _transfer_syntax(header) != RLELossless
    if not stored - 1 <= last < allocated or (is_compressed and _has_odd_bits(header)):
        raise DataError(f'its HighBit is {last} with BitsStored {stored} of {allocated}, which do not go together')
    signed, span = bool(header.get('PixelRepresentation')), 1 << stored
    low, high = (-span // 2, span // 2 - 1) if signed else (0, span - 1)
    bits = values.astype(np.int64)
    if is_compressed:
        if signed and values.min() >= 0 and high < values.max() < span:
            bits -= (bits >> (stored - 1)) << stored
        elif values.min() < low - span or values.max() > high + span:
            raise DataError(f'its decoder returns {values.min()} to {values.max()}, for {low} to {high} at most')
        return bits.astype(f'{"i" if signed else "u"}{values.itemsize}') if signed else values
    bits = (bits >> (last + 1 - stored)) & (span - 1)
    if signed:
        bits -= (bits >> (stored - 1)) << stored
    return bits.astype(f'{"i" if signed else "u"}{values.itemsize}')


def padding_of(
    header: pydicom.Dataset, values: Num[np.ndarray, 'height width channel']
) -> Bool[np.ndarray, 'height width channel'] | None:
    """Where stored values are padding (PS3.3, C.7.5.1.1.2); None where none are."""
    ends = [_padding_value(header, name) for name in ('PixelPaddingValue', 'PixelPaddingRangeLimit')]
    if ends[0] is None or header.SamplesPerPixel > 1 or values.dtype.kind not in 'iu':
        return None
    first, last = sorted((ends[0], ends[0] if ends[1] is None else ends[1]))
    padding = (values >= first) & (values <= last)
    return padding if padding.any() else None


def _padding_value(header: pydicom.Dataset, keyword: str) -> int | None:
    """Its value in the sign that pixels have, whatever sign it was written in."""
    value = header.get(keyword)
    if value is None or isinstance(value, str | bytes):
        return None
    stored, value = int(header.get('BitsStored') or header.BitsAllocated), int(value)
    if header.get('PixelRepresentation'):
        bits = value & ((1 << int(header.BitsAllocated)) - 1)
        return bits - ((bits >> (int(header.BitsAllocated) - 1)) << int(header.BitsAllocated))
    return value & ((1 << max(stored, 1)) - 1) if value < 0 else value


def _iterate(path: Path, header: pydicom.Dataset) -> Iterator[Num[np.ndarray, 'height width *channel']]:
    syntax = _transfer_syntax(header)
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        return iter(decode_apart(path, syntax))
    apart = _has_odd_bits(header)
    if frame_count(header) > 1 and syntax != DeflatedExplicitVRLittleEndian and not apart:
        return iter_pixels(path, transfer_syntax_uid=syntax)
    # Whole, as pydicom copes with more flaws then: headers of another encoding than declared, and JPEG 2000
    # of the wrong sign, on which iter_pixels fails.
    dataset = pydicom.dcmread(path, force=True)
    if not any(tag in dataset for tag in _PIXELS):  # pydicom drops an element that ends early
        raise DataError('is truncated: its compressed pixels end early')
    dataset.file_meta.TransferSyntaxUID = syntax
    if apart:  # pydicom clears the bits above BitsStored, wherever those that are stored lie
        dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    return iter_pixels(dataset) if frame_count(header) > 1 else iter([pixel_array(dataset)])


def millimetres(header: pydicom.Dataset) -> tuple[float, float, float]:
    """Spacing of rows, columns and (as far as one file tells) slices; 0 where unknown.

    For projection images without PixelSpacing, that at the detector.
    """
    macro = 'PixelMeasuresSequence'
    plane = functional(header, 0, macro, 'PixelSpacing') or header.get('ImagerPixelSpacing') or (0, 0)
    between = functional(header, 0, macro, 'SpacingBetweenSlices')
    between = between or functional(header, 0, macro, 'SliceThickness') or 0
    values = (float(plane[0]), float(plane[1]), abs(float(between)))
    return values if all(math.isfinite(value) for value in values) else (0.0, 0.0, 0.0)
