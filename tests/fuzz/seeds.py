"""Small whole files of every kind that readers know: what is damaged in the tests."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

Files = list[tuple[str, bytes]]  # endings of names, and contents
_SIDE = 12


def _noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    largest = 2**12 if np.dtype(dtype).itemsize > 1 else 256
    return np.random.default_rng(sum(shape)).integers(largest, size=shape).astype(dtype)


def png() -> Files:
    """Grey, colour, alpha, palette and one bit, 8 and 16 bits."""
    grey, colour = _noise(_SIDE, _SIDE), _noise(_SIDE, _SIDE, 3)
    pictures = [Image.fromarray(grey), Image.fromarray(colour), Image.fromarray(grey > 99)]
    pictures += [Image.fromarray(_noise(_SIDE, _SIDE, 4)), Image.fromarray(grey).convert('P')]
    deep = [_noise(_SIDE, _SIDE, dtype=np.uint16), _noise(_SIDE, _SIDE, 3, dtype=np.uint16)]
    files = [_pillow(picture, 'PNG') for picture in pictures]
    return [('.png', content) for content in [*files, *(cv2.imencode('.png', each)[1].tobytes() for each in deep)]]


def pictures() -> Files:
    """JPEG with and without Exif, BMP, WebP, GIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    colour = Image.fromarray(_noise(_SIDE, _SIDE, 3))
    jpeg = io.BytesIO()
    colour.save(jpeg, 'JPEG', exif=exif)
    others = [(ending, _pillow(colour, kind)) for ending, kind in (('.bmp', 'BMP'), ('.webp', 'WEBP'))]
    grey = Image.fromarray(_noise(_SIDE, _SIDE))
    return [('.jpg', jpeg.getvalue()), ('.jpg', _pillow(grey, 'JPEG')), *others, ('.gif', _pillow(grey, 'GIF'))]


def tiff() -> Files:
    """Depths, signs, floats, colours, white first, tiles, compressions."""
    deep = _noise(16, 16, dtype=np.uint16)
    options: list[tuple[np.ndarray, dict[str, object]]] = [
        (deep, {}),
        (deep.astype(np.int16), {}),
        (deep.astype(np.float32), {}),
        (_noise(16, 16), {'photometric': 'miniswhite', 'compression': 'zlib'}),
        (_noise(16, 16, 3), {'photometric': 'rgb', 'compression': 'zlib'}),
        (_noise(3, 16, 16, dtype=np.uint16), {'photometric': 'rgb', 'planarconfig': 'separate'}),
        (_noise(32, 32), {'tile': (16, 16), 'compression': 'zlib', 'predictor': True}),
    ]
    return [('.tif', _tiff(values, own)) for values, own in options]


def tiff_stacks() -> Files:
    """Pages one after the other, and an ImageJ stack behind one directory."""
    volume, file = _noise(3, 16, 16, dtype=np.uint16), io.BytesIO()
    tifffile.imwrite(
        file, volume, imagej=True, resolution=(2, 2), metadata={'axes': 'ZYX', 'unit': 'mm', 'spacing': 2}
    )
    return [('.tif', _tiff(volume, {'photometric': 'minisblack'})), ('.tif', file.getvalue())]


def dicom() -> Files:
    """Slices of a series: plain, deflated, RLE and JPEG 2000, many frames, colour."""
    syntaxes = [
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ]
    plain = [('.dcm', _dicom(_noise(64, 64, dtype=np.int16), syntax)) for syntax in syntaxes]
    frames = _dicom(_noise(3, _SIDE, _SIDE, dtype=np.int16), ExplicitVRLittleEndian, NumberOfFrames=3)
    colour = _dicom(_noise(_SIDE, _SIDE, 3), ExplicitVRLittleEndian)
    return [*plain, ('.dcm', frames), ('.dcm', colour), ('.dcm.gz', gzip.compress(plain[0][1]))]


def nifti_1() -> Files:
    """Integers, floats, four axes."""
    return [('.nii', content) for content in _niftis(nib.Nifti1Image)]


def nifti_2() -> Files:
    """The same with longer headers."""
    return [('.nii', content) for content in _niftis(nib.Nifti2Image)]


def nifti_gz() -> Files:
    """The same, compressed."""
    return [('.nii.gz', gzip.compress(content, 1)) for content in _niftis(nib.Nifti1Image)]


def arrays() -> Files:
    """One array, and archives of images, masks and labels, compressed or not."""
    images, labels = _noise(4, 8, 8), np.arange(4)
    one, plain, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(one, images)
    np.savez(plain, images=images, masks=(images > 99).astype(np.uint8), labels=labels)
    np.savez_compressed(packed, images=images.astype(np.float32), labels=np.array(['a', 'b', 'a', 'b']))
    return [('.npy', one.getvalue()), ('.npz', plain.getvalue()), ('.npz', packed.getvalue())]


def itk() -> Files:
    """NRRD raw, gzip and text, MetaImage raw and zlib."""
    values = _noise(4, 5, 6, dtype=np.int16)
    space = 'space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\n'
    head = f'NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\n{space}'
    raw = values.astype('<i2').tobytes()
    text = ' '.join(map(str, values.ravel())).encode()
    meta = (
        'ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {}\n'
        'TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 6 5 4\n'
        'ElementType = MET_SHORT\nElementDataFile = LOCAL\n'
    )
    nrrd = {'raw': raw, 'gzip': gzip.compress(raw), 'text': text}
    files = [('.nrrd', f'{head}encoding: {name}\n\n'.encode() + body) for name, body in nrrd.items()]
    return [*files, ('.mha', meta.format('False').encode() + raw)]


def index() -> Files:
    """The table of a folder of pairs; its pictures lie beside it."""
    rows = ['image,mask,label,patient,split', *(f'images/{n}.png,masks/{n}.png,a,p{n},train' for n in range(3))]
    return [('index.csv', '\n'.join(rows).encode())]


def _pillow(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def _tiff(values: np.ndarray, options: dict[str, object]) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _dicom(values: np.ndarray, syntax: UID, **elements: object) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=['fuzz'])
    dataset = FileDataset('', {}, file_meta=meta, preamble=b'\0' * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.Modality = 'p1', 'CT'
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = generate_uid(entropy_srcs=['series'])
    dataset.InstanceNumber, dataset.ImagePositionPatient = 1, [0, 0, 5]
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.7]
    dataset.RescaleSlope, dataset.RescaleIntercept = '1', '-1024'
    is_colour = values.dtype == np.uint8
    dataset.Rows, dataset.Columns = values.shape[:2] if is_colour else values.shape[-2:]
    dataset.SamplesPerPixel = 3 if is_colour else 1
    dataset.PhotometricInterpretation = 'RGB' if is_colour else 'MONOCHROME2'
    if is_colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.itemsize
    dataset.HighBit, dataset.PixelRepresentation = 8 * values.itemsize - 1, int(values.dtype.kind == 'i')
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = values.tobytes()
    if syntax == DeflatedExplicitVRLittleEndian:
        meta.TransferSyntaxUID = syntax
    elif syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _niftis(kind: Callable[..., nib.Nifti1Image]) -> list[bytes]:
    affine = np.diag([0.5, 0.7, 2.0, 1.0])
    volumes = [
        _noise(5, 6, 4, dtype=np.int16),
        _noise(5, 6, 4, dtype=np.float32),
        _noise(5, 6, 4, 2, dtype=np.int16),
    ]
    return [kind(values, affine).to_bytes() for values in volumes]


def write_pairs(folder: Path) -> None:
    """The pictures and masks that `index` names."""
    for number in range(3):
        for name, values in (('images', _noise(8, 8)), ('masks', (_noise(8, 8) > 99).astype(np.uint8))):
            path = folder / name / f'{number}.png'
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(cv2.imencode('.png', values)[1].tobytes())
