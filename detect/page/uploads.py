"""Takes in the form that a browser sends: files into one folder, under names of our own."""

import contextlib
import dataclasses
import io
import re
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from foundation.serving.connections import receive_body
from input_pipeline.readers.raster import EXTENSIONS

_MOST_FILES = 5_000
_LONGEST_FIELD = 100  # bytes
_LONGEST_NAME = 100  # characters, as shown
# Endings that readers go by; a file with another one is looked at for DICOM.
_ENDINGS = ('.nii.gz', '.nii', '.nrrd', '.mha', *sorted(EXTENSIONS))
STORED = re.compile(r'upload\d{5}(?:\.nii\.gz|\.\w+)?')  # our names, where a sentence has them


@dataclasses.dataclass(frozen=True)
class Upload:
    """What was sent.

    Attributes:
      files: where each lies, and the name that it came with, fit to be shown and for nothing else.
      prevalence: what stood in that field; other fields are left out.
    """

    files: dict[Path, str]
    prevalence: str


async def receive_upload(request: Request, folder: Path, max_bytes: int) -> Upload:
    """Stores the files of a form (multipart/form-data, RFC 7578), piece by piece.

    Args:
      request: whose body was not read yet.
      folder: empty; its owner removes it.
      max_bytes: the whole form may have; what is over is not stored.

    Raises:
      HTTPException: with one sentence, when it is larger, no such form, or not complete.
    """
    kind, options = parse_options_header(request.headers.get('content-type'))
    if kind != b'multipart/form-data' or not options.get(b'boundary'):
        raise HTTPException(415, 'Files are sent by the form of this page.')
    if int(request.headers.get('content-length', 0)) > max_bytes:
        raise _too_large(max_bytes)
    with contextlib.closing(_Parts(folder)) as parts:
        try:
            parser = parts.create_parser(options[b'boundary'])
            received = 0
            async for piece in receive_body(request):
                received += len(piece)
                if received > max_bytes:
                    raise _too_large(max_bytes)
                parser.write(piece)
        except FormParserError as error:
            raise HTTPException(400, 'The form is damaged; send it again.') from error
        if not parts.complete:
            raise HTTPException(400, 'The form is not complete; send it again.')
        return Upload(parts.files, parts.prevalence)


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f'The files have more than {max_bytes / 2**20:g} MB together; send fewer at a time.')


class _Parts:
    """What the parser tells, one part of the form after the other.

    Args:
      folder: for files.
    """

    def __init__(self, folder: Path):
        self.files: dict[Path, str] = {}
        self.prevalence = ''
        self.complete = False
        self._folder = folder
        self._header, self._value, self._disposition = bytearray(), bytearray(), b''
        self._sink: BinaryIO | None = None

    def create_parser(self, boundary: bytes) -> MultipartParser:
        """A parser that tells this."""
        return MultipartParser(
            boundary,
            {
                'on_part_begin': self._begin,
                'on_header_field': lambda data, start, end: self._header.extend(data[start:end]),
                'on_header_value': lambda data, start, end: self._value.extend(data[start:end]),
                'on_header_end': self._end_header,
                'on_headers_finished': self._open,
                'on_part_data': self._write,
                'on_part_end': self._end,
                'on_end': self._finish,
            },
        )

    def close(self) -> None:
        """Closes the file that was being written."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _begin(self) -> None:
        self._disposition = b''

    def _end_header(self) -> None:
        if self._header.lower() == b'content-disposition':
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b'filename')
        if name:  # it is empty where nothing was chosen
            self._sink = self._create(name.decode(errors='replace'))
        elif name is None and options.get(b'name') == b'prevalence':
            self._sink = io.BytesIO()

    def _create(self, name: str) -> BinaryIO:
        if len(self.files) == _MOST_FILES:
            raise HTTPException(413, f'These are more than {_MOST_FILES:,} files; send fewer at a time.')
        ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), '')
        path = self._folder / f'upload{len(self.files):05d}{ending}'
        self.files[path] = _showable(name)
        return path.open('xb')

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._sink is None:
            return
        self._sink.write(data[start:end])
        if isinstance(self._sink, io.BytesIO) and self._sink.tell() > _LONGEST_FIELD:
            raise HTTPException(400, 'A field of the form is too long.')

    def _end(self) -> None:
        if isinstance(self._sink, io.BytesIO):
            self.prevalence = self._sink.getvalue().decode(errors='replace')
        self.close()

    def _finish(self) -> None:
        self.complete = True


def _showable(name: str) -> str:
    """The last part of a path, without what cannot be printed, and not too long."""
    printable = ''.join(letter for letter in PureWindowsPath(name).name if letter.isprintable())
    return printable[:_LONGEST_NAME] or 'without a name'
