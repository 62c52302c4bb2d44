"""The bytes of a DICOM file that a signature is over (PS3.3 C.12.1.1.3.1.1), as they lie in the file.

Nothing is decoded and encoded again, so that no other spelling of a value can be taken for the signed one. Read
are files of explicit VR in little endian, compressed or not; no implicit, big endian or deflated ones.
"""

import dataclasses
import struct
from collections.abc import Iterable, Iterator

SIGNATURES, MAC_PARAMETERS, PADDING = 0xFFFAFFFA, 0x4FFE0001, 0xFFFCFFFC
EXPLICIT = '1.2.840.10008.1.2.1'
# Implicit VR, big endian, deflated.
_OTHERS = {'1.2.840.10008.1.2', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'}
_START = 132  # preamble and 'DICM'
_TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG = {b'OB', b'OD', b'OF', b'OL', b'OV', b'OW', b'SQ', b'SV', b'UC', b'UN', b'UR', b'UT', b'UV'}
_SHORT = {
    b'AE', b'AS', b'AT', b'CS', b'DA', b'DS', b'DT', b'FD', b'FL', b'IS', b'LO', b'LT', b'PN', b'SH', b'SL', b'SS',
    b'ST', b'TM', b'UI', b'UL', b'US',
}  # fmt: skip
_DEEPEST = 32  # sequences in one another
_MOST = 10**6  # elements of a data set, items of a sequence


class DicomFormError(ValueError):
    """A file that is no DICOM file, or of a form that is not read here; the text is a few words for people."""


@dataclasses.dataclass(frozen=True)
class Element:
    """A data element, and where it lies.

    Attributes:
      tag: group and element in one number.
      vr: its value representation.
      start: of its tag.
      value: of its value.
      stop: after its value.
      end: after all of it, the delimiter of a value of undefined length among it.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    stop: int
    end: int


def read_file(content: bytes) -> tuple[str, list[Element]]:
    """The transfer syntax of a file, and the elements of its data set.

    Raises:
      DicomFormError: see there.
    """
    if content[_START - 4 : _START] != b'DICM':
        raise DicomFormError('no DICOM file')
    syntax, start = '', _START
    for element in _read_elements(content, _START, len(content), 0):
        if element.tag >> 16 != 2:
            break
        if element.tag == _TRANSFER_SYNTAX:
            syntax = content[element.value : element.stop].rstrip(b'\0 ').decode('ascii', 'replace')
        start = element.end
        if start == len(content) or content[start : start + 2] != b'\x02\x00':
            break
    if not syntax or syntax in _OTHERS:
        raise DicomFormError(f'its transfer syntax {syntax!a} is not read here')
    return syntax, read_set(content, start, len(content))


def read_set(content: bytes, start: int, end: int) -> list[Element]:
    """The elements of a data set in explicit VR, in rising order of their tags, as the standard has them.

    Raises:
      DicomFormError: see there.
    """
    elements: list[Element] = []
    for element in _read_elements(content, start, end, 0):
        if elements and element.tag <= elements[-1].tag:
            raise DicomFormError('its elements are out of order, or one is there twice')
        if len(elements) == _MOST:
            raise DicomFormError(f'it has more than {_MOST:,} elements')
        elements.append(element)
    return elements


def read_items(content: bytes, element: Element) -> list[list[Element]]:
    """The items of a sequence.

    Raises:
      DicomFormError: see there.
    """
    if element.vr != b'SQ':
        raise DicomFormError('what should be a sequence is none')
    return [read_set(content, start, stop) for start, stop in _find_items(content, element, 0)]


def signed_bytes(content: bytes, elements: Iterable[Element], depth: int = 0) -> Iterator[bytes]:
    """What is signed of these elements: of sequences and compressed pixels without lengths, with a delimiter.

    Raises:
      DicomFormError: see there.
    """
    for element in elements:
        is_sequence = element.vr == b'SQ'
        if not is_sequence and element.stop == element.end:
            yield content[element.start : element.end]
            continue
        yield content[element.start : element.start + 8]  # tag, VR and two bytes that are reserved
        for start, stop in _find_items(content, element, depth):
            yield content[start - 8 : start - 4]
            if is_sequence:
                yield from signed_bytes(content, _read_elements(content, start, stop, depth + 1), depth + 1)
            else:
                yield content[start:stop]
        yield struct.pack('<HH', _SEQUENCE_END >> 16, _SEQUENCE_END & 0xFFFF)


def _read_elements(content: bytes, start: int, end: int, depth: int) -> Iterator[Element]:
    while start < end:
        element = _read_element(content, start, end, depth)
        yield element
        start = element.end


def _read_element(content: bytes, start: int, end: int, depth: int) -> Element:
    if start + 8 > end:
        raise DicomFormError('it ends within an element')
    tag, vr = _read_tag(content, start), content[start + 4 : start + 6]
    if vr not in _LONG and vr not in _SHORT:
        raise DicomFormError(f'an element is not of explicit VR, at byte {start}')
    if vr in _LONG:
        if start + 12 > end or content[start + 6 : start + 8] != b'\0\0':  # reserved
            raise DicomFormError('it ends within an element, or one has no proper head')
        value, (length,) = start + 12, struct.unpack_from('<I', content, start + 8)
    else:
        value, (length,) = start + 8, struct.unpack_from('<H', content, start + 6)
    if length == _UNDEFINED:
        stop, after = _find_end(content, value, end, is_sequence=vr == b'SQ', depth=depth, vr=vr)
        return Element(tag, vr, start, value, stop, after)
    if value + length > end:
        raise DicomFormError(f'an element is longer than what holds it, at byte {start}')
    return Element(tag, vr, start, value, value + length, value + length)


def _read_tag(content: bytes, start: int) -> int:
    group, number = struct.unpack_from('<HH', content, start)
    return (group << 16) | number


def _find_end(
    content: bytes, start: int, end: int, *, is_sequence: bool, depth: int, vr: bytes
) -> tuple[int, int]:
    """Where the items of a value of undefined length stop, and where its delimiter ends."""
    if not is_sequence and vr not in (b'OB', b'OW'):
        raise DicomFormError(f'an element of VR {vr.decode()} has no length')
    items = _walk_items(content, start, end, depth, is_sequence=is_sequence)
    stop = max((after for _, _, after in items), default=start)
    if stop + 8 > end or _read_tag(content, stop) != _SEQUENCE_END:
        raise DicomFormError('a sequence has no end')
    return stop, stop + 8


def _find_items(content: bytes, element: Element, depth: int) -> list[tuple[int, int]]:
    """Where the contents of the items of a value start and stop."""
    items = _walk_items(content, element.value, element.stop, depth, is_sequence=element.vr == b'SQ')
    if max((after for _, _, after in items), default=element.value) != element.stop:
        raise DicomFormError('a sequence does not end with an item')
    return [(start, stop) for start, stop, _ in items]


def _walk_items(
    content: bytes, start: int, end: int, depth: int, *, is_sequence: bool
) -> list[tuple[int, int, int]]:
    """Start and stop of the content of each item, and where the item ends."""
    if depth >= _DEEPEST:
        raise DicomFormError(f'sequences lie in one another {_DEEPEST} times')
    items: list[tuple[int, int, int]] = []
    while start + 8 <= end and _read_tag(content, start) == _ITEM:
        value, (length,) = start + 8, struct.unpack_from('<I', content, start + 4)
        if length == _UNDEFINED and is_sequence:
            stop = value
            while stop + 8 <= end and _read_tag(content, stop) != _ITEM_END:
                stop = _read_element(content, stop, end, depth + 1).end
            start = stop + 8
        else:
            start = stop = value + length
        if start > end:
            raise DicomFormError('an item is longer than what holds it')
        if len(items) == _MOST:
            raise DicomFormError(f'a sequence has more than {_MOST:,} items')
        items.append((value, stop, start))
    return items
