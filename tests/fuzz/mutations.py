"""Ways in which the bytes of a file go wrong: some anywhere, some where a format keeps its sizes and types."""

import functools
import gzip
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_NUMBERS = [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 64, 127, 128, 255, 256, 1024, 4096, 32767, 32768, 65535]
_WIDE = [2**16, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1]
_FLOATS = [0.0, -1.0, 1e-38, 1e38, -1e308, 1e308, float('nan'), float('inf'), -float('inf')]
_TEXTS = [b'', b'0', b'-1', b'1e999', b'nan', b'9' * 40, b'\xff\xfe', b'../../etc/passwd', b'(', b'[' * 200, b'\0']
_TEXT_NUMBER = re.compile(rb'-?\d+(?:\.\d+)?')
Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def flip_bits(content: bytearray, generator: np.random.Generator) -> bytearray:
    """Up to eight bits, half of the time near the start, where headers are."""
    for _ in range(int(generator.integers(1, 9))):
        place = _place(content, generator)
        content[place] ^= 1 << int(generator.integers(8))
    return content


def write_number(content: bytearray, generator: np.random.Generator) -> bytearray:
    """A number that is often forgotten, of any width and order of bytes, at any place."""
    order, place = '<>'[int(generator.integers(2))], _place(content, generator)
    kind = 'BHIQfd'[int(generator.integers(6))]
    if kind in 'fd':
        with np.errstate(over='ignore'):
            value = float(np.float32(_pick(_FLOATS, generator)) if kind == 'f' else _pick(_FLOATS, generator))
        number = struct.pack(order + kind, value)
    else:
        value = _pick(_NUMBERS + _WIDE, generator)
        number = struct.pack(order + kind, value % 2 ** (8 * struct.calcsize(kind)))
    content[place : place + len(number)] = number
    return content


def cut(content: bytearray, generator: np.random.Generator) -> bytearray:
    """The end is missing, as of an upload that broke off."""
    return content[: int(generator.integers(len(content) + 1))]


def remove(content: bytearray, generator: np.random.Generator) -> bytearray:
    """A piece is missing."""
    start, stop = _piece(content, generator)
    del content[start:stop]
    return content


def repeat(content: bytearray, generator: np.random.Generator) -> bytearray:
    """A piece is there twice, or up to a thousand times."""
    start, stop = _piece(content, generator)
    times = _pick([1, 2, 10, 1000], generator) if stop - start < 100 else 1
    content[stop:stop] = content[start:stop] * times
    return content


def fill(content: bytearray, generator: np.random.Generator) -> bytearray:
    """A piece is one byte, or noise."""
    start, stop = _piece(content, generator)
    noise = generator.integers(256, size=stop - start).astype(np.uint8).tobytes()
    content[start:stop] = noise if generator.random() < 0.5 else bytes([noise[0]]) * (stop - start)
    return content


def change_text(content: bytearray, generator: np.random.Generator) -> bytearray:
    """A number that is written as text is another text."""
    found = list(_TEXT_NUMBER.finditer(content))
    if found:
        match = found[int(generator.integers(len(found)))]
        content[match.start() : match.end()] = _pick([*_TEXTS, *(b'%d' % n for n in _NUMBERS + _WIDE)], generator)
    return content


ANYWHERE: tuple[Mutation, ...] = (flip_bits, write_number, cut, remove, repeat, fill, change_text)


def mutate(
    content: bytes, own: Sequence[Mutation], repair: Mutation | None, generator: np.random.Generator
) -> bytes:
    """One to three changes; half of them of the kinds that the format has of its own.

    Args:
      content: of a whole file.
      own: changes of the fields of this format.
      repair: mends checksums, so that decoders look further; three times in four.
      generator: decides all.
    """
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        if not changed:
            break
        kinds = own if own and generator.random() < 0.5 else ANYWHERE
        changed = kinds[int(generator.integers(len(kinds)))](changed, generator)
    if repair is not None and generator.random() < 0.75:
        changed = repair(changed, generator)
    return bytes(changed)


def repair_png(content: bytearray, generator: np.random.Generator) -> bytearray:
    """Chunks get the checksums of what they hold now."""
    place = 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], 'big')
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack('>I', zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return content


def change_dicom_element(content: bytearray, generator: np.random.Generator) -> bytearray:
    """The value, the length or the kind of an element in explicit little endian."""
    places, place = [], 132
    while place + 8 <= len(content):
        kind = bytes(content[place + 4 : place + 6])
        long = kind in (b'OB', b'OW', b'OF', b'SQ', b'UN', b'UT', b'OD', b'OL', b'UC', b'UR')
        header = 12 if long else 8
        if place + header > len(content):
            break
        length = int.from_bytes(content[place + header - (4 if long else 2) : place + header], 'little')
        places.append((place, header, min(length, len(content) - place - header)))
        place += header + (0 if length == 2**32 - 1 else length)
    if not places:
        return content
    start, header, length = places[int(generator.integers(len(places)))]
    what = generator.random()
    if what < 0.6 and length:
        value = _pick([*_TEXTS, *(struct.pack('<H', n % 65536) for n in _NUMBERS)], generator)
        content[start + header : start + header + length] = value[:length].ljust(length, b' ')
    elif what < 0.8:
        width = 4 if header == 12 else 2
        number = _pick(_NUMBERS + _WIDE, generator) % 2 ** (8 * width)
        content[start + header - width : start + header] = number.to_bytes(width, 'little')
    else:
        kinds = [b'US', b'SS', b'DS', b'IS', b'SQ', b'UN', b'OW', b'PN', b'UI', b'FD', b'AT', b'??']
        content[start + 4 : start + 6] = _pick(kinds, generator)
    return content


def change_tiff_tag(content: bytearray, generator: np.random.Generator) -> bytearray:
    """The tag, the type, the count or the value of an entry of the first directory (TIFF 6.0, section 2)."""
    start = int.from_bytes(content[4:8], 'little')
    count = int.from_bytes(content[start : start + 2], 'little')
    if 0 < count < 100 and start + 2 + 12 * count <= len(content):
        entry = start + 2 + 12 * int(generator.integers(count))
        place, width = ((0, 2), (2, 2), (4, 4), (8, 4))[int(generator.choice(4, p=[0.1, 0.1, 0.2, 0.6]))]
        number = _pick(_NUMBERS + _WIDE, generator) % 2 ** (8 * width)
        content[entry + place : entry + place + width] = number.to_bytes(width, 'little')
    return content


def change_inside_gzip(content: bytearray, generator: np.random.Generator) -> bytearray:
    """What is packed changes, and is packed again: half of the time in the header of NIfTI-1."""
    try:
        packed = bytearray(gzip.decompress(content))
    except (OSError, EOFError, zlib.error):
        return content
    if packed:
        kinds: tuple[Mutation, ...] = (NIFTI_1,) if generator.random() < 0.5 else ANYWHERE
        packed = kinds[int(generator.integers(len(kinds)))](packed, generator)
    return bytearray(gzip.compress(packed, 1, mtime=0))


def change_header_field(
    layout: Sequence[tuple[int, str]], content: bytearray, generator: np.random.Generator
) -> bytearray:
    """One of the numbers of a header of a fixed layout, known by its place and its `struct` code."""
    place, code = layout[int(generator.integers(len(layout)))]
    size = struct.calcsize('<' + code)
    if place + size <= len(content):
        if code in 'fd':
            with np.errstate(over='ignore'):
                content[place : place + size] = struct.pack('<' + code, np.float32(_pick(_FLOATS, generator)))
        else:
            number = _pick(_NUMBERS + _WIDE, generator) % 2 ** (8 * size)
            content[place : place + size] = number.to_bytes(size, 'little')
    return content


# NIfTI-1 (nifti1.h): dim, type, pixdim, offset, slope, intercept, units, form codes, quaternion, sform.
NIFTI_1 = functools.partial(
    change_header_field,
    [
        (0, 'i'),
        *((40 + 2 * i, 'h') for i in range(8)),
        (70, 'h'),
        (72, 'h'),
        *((76 + 4 * i, 'f') for i in range(8)),
    ]
    + [(108, 'f'), (112, 'f'), (116, 'f'), (123, 'B'), (252, 'h'), (254, 'h'), (344, 'I'), (348, 'I')]
    + [(256 + 4 * i, 'f') for i in range(18)],
)
# NIfTI-2: the same (nifti2.h).
NIFTI_2 = functools.partial(
    change_header_field,
    [
        (0, 'i'),
        (12, 'h'),
        (14, 'h'),
        *((16 + 8 * i, 'q') for i in range(8)),
        *((104 + 8 * i, 'd') for i in range(8)),
    ]
    + [(168, 'q'), (176, 'd'), (184, 'd'), (500, 'i'), (344, 'i'), (348, 'i')]
    + [(352 + 8 * i, 'd') for i in range(18)],
)


def _place(content: bytearray, generator: np.random.Generator) -> int:
    reach = len(content) if generator.random() < 0.5 else min(len(content), 400)
    return int(generator.integers(reach))


def _piece(content: bytearray, generator: np.random.Generator) -> tuple[int, int]:
    start = _place(content, generator)
    return start, min(start + int(2 ** generator.uniform(0, 10)), len(content))


def _pick(choices: Sequence[Any], generator: np.random.Generator) -> Any:
    return choices[int(generator.integers(len(choices)))]
