"""Folders whose names and headers tell who the patients are, and a search for that in whatever was written."""

import csv
import gzip
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

NAME, GIVEN, BIRTH = 'Mustermann', 'Erika', '19800229'
ACCESSION, UID, NUMBER = 'ACC7731942', '1.2.826.0.1.3680043.8.498.77123', 'MRN0048213'
PLANTED = (NAME, GIVEN, BIRTH, ACCESSION, UID, NUMBER)
PATIENTS = 8
PRIVATE = 'private_paths.csv'


def patient(number: int) -> str:
    """What a folder of one patient is called."""
    return f'{NAME}_{GIVEN}_{BIRTH}_{number}'


def _noise(seed: int, shape=(12, 12), high: int = 256, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def _picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pictures(root: Path) -> Path:
    """Classes, patients, studies, slices; a mask by name, a broken file, one of no class and one of no patient."""
    for number in range(PATIENTS):
        study = root / ('healthy', 'ill')[number % 2] / patient(number) / f'{ACCESSION} {UID}'
        for place in (1, 2, 10):
            _picture(study / f'{NUMBER} {place}.png', _noise(10 * number + place))
    _picture(study / f'{NUMBER} 10_mask.png', _noise(0, high=2))
    (study / f'{NAME} {GIVEN} {BIRTH}.png').write_bytes(f'broken {NUMBER}'.encode())
    (study / f'{NAME}{UID}.pdf').write_bytes(b'%PDF')
    _picture(root / f'{ACCESSION}.png', _noise(1))
    _picture(root / 'ill' / f'{UID}.png', _noise(2))
    return root


def pairs(root: Path) -> Path:
    """Images and masks; one without a mask, a mask without an image, a pair of two sizes, a foreign index."""
    for number in range(PATIENTS):
        name = f'{patient(number)} {ACCESSION}.png'
        _picture(root / 'images' / name, _noise(number))
        _picture(root / 'masks' / name, _noise(number, high=2))
    _picture(root / 'images' / f'{UID}.png', _noise(1))
    _picture(root / 'masks' / f'{NUMBER} {GIVEN}.png', _noise(1, high=2))
    _picture(root / 'images' / f'{NAME} two.png', _noise(2))
    _picture(root / 'masks' / f'{NAME} two_mask.png', _noise(2, (9, 9), high=2))
    (root / 'index.csv').write_text(f'name,id\n{NAME},{NUMBER}\n')
    return root


def indexed(root: Path) -> Path:
    """An index with the columns patient and label, a row twice, a path that leaves, and one that is not there."""
    pairs(root)
    names = [f'{patient(number)} {ACCESSION}.png' for number in range(PATIENTS)]
    rows = [(f'images/{name}', f'masks/{name}', f'{NUMBER}/{number}', 'ill') for number, name in enumerate(names)]
    rows += [
        rows[0],
        (f'../{NAME}.png', rows[0][1], NUMBER, 'ill'),
        (f'images/{UID} {GIVEN}.png', '', NUMBER, 'ill'),
    ]
    with (root / 'index.csv').open('w', newline='') as file:
        csv.writer(file).writerows([('image', 'mask', 'patient', 'label'), *rows])
    return root


def volumes(root: Path) -> Path:
    """Volumes with labels beside them, headers that contradict themselves, and one of another patient's shape."""
    root.mkdir(parents=True)
    for number in range(PATIENTS):
        image = nib.Nifti1Image(_noise(number, (6, 6, 4), dtype=np.int16), np.eye(4))
        image.header['descrip'] = f'{NAME} {BIRTH}'.encode()
        image.header['pixdim'][1:4] = 3
        nib.save(image, root / f'{patient(number)}_t1.nii.gz')
        labels = nib.Nifti1Image(_noise(number, (6, 6, 4), 2), np.eye(4))
        nib.save(labels, root / f'{patient(number)}_seg.nii.gz')
    nib.save(nib.Nifti1Image(_noise(1, (5, 6, 4), dtype=np.int16), np.eye(4)), root / f'{UID}_t1.nii.gz')
    nib.save(nib.Nifti1Image(_noise(1, (6, 6, 4), 2), np.eye(4)), root / f'{UID}_seg.nii.gz')
    (root / f'{NAME} {GIVEN}.nii.gz').write_bytes(gzip.compress(f'{NAME} {BIRTH}'.encode() * 50))
    return root


def studies(root: Path) -> Path:
    """Series with a gap and copies; a broken file, and two images at one place."""
    for number in range(PATIENTS):
        for place in (0, 1, 2, 3, 9):
            folder = root / patient(number) / ACCESSION
            _slice(folder / f'{UID}.{number}.{place}', number, place, f'{UID}.{number}.{place}')
    _slice(folder / f'{NAME} copy', number, 9, f'{UID}.{number}.9')
    for turn in range(2):
        _slice(root / NUMBER / f'{GIVEN}{turn}.dcm', 99, 0, f'{UID}.99.{turn}', InstanceNumber=None)
    (root / f'{NAME} {BIRTH}.dcm').write_bytes(b'no DICOM')
    (root / f'{NUMBER}.zip').write_bytes(b'PK')
    return root


def _slice(path: Path, number: int, place: int, uid: str, **changed) -> None:
    header = pydicom.Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = CTImageStorage, uid, 'CT'
    header.PatientName, header.PatientID = f'{NAME}^{GIVEN}', f'{NUMBER}{number}'
    header.PatientBirthDate, header.AccessionNumber = BIRTH, ACCESSION
    header.StudyInstanceUID, header.SeriesInstanceUID = f'{UID}.{number}', f'{UID}.{number}.7'
    header.InstanceNumber, header.PixelSpacing = place, [1, 1]
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    header.Rows = header.Columns = 12
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, 'MONOCHROME2', 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelData = _noise(100 * number + place, dtype=np.uint16).tobytes()
    for name, value in changed.items():
        setattr(header, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)


def arrays(root: Path) -> Path:
    """Members of telling names, some of no use, one of objects, and labels of another length."""
    root.mkdir(parents=True)
    images, labels = _noise(0, (PATIENTS, 12, 12)), np.arange(PATIENTS) % 2
    others: dict[str, Any] = {f'{NAME} {BIRTH}': labels, f'{NUMBER}': np.array([{}], object)}
    np.savez(root / f'{patient(0)}.npz', images=images, labels=labels, **others)
    named: dict[str, Any] = {f'{NAME}_images': images, f'{NAME}_labels': labels[:3]}
    np.savez(root / f'{ACCESSION}.npz', **named)
    np.savez(root / f'{UID}.npz', a=images, b=labels)
    (root / f'{NAME} {GIVEN}.npy').write_bytes(b'no array')
    return root


FOLDERS = {
    'image_folder': (pictures, (r'--patient_pattern=/(Mustermann[^/]*)/',)),
    'flat': (pictures, ()),
    'paired_folder': (pairs, (r'--patient_pattern=(Mustermann_Erika_\d+_\d)',)),
    'indexed': (indexed, ()),
    'nifti': (volumes, ()),
    'dicom': (studies, ()),
    'arrays': (arrays, ()),
}
SOURCES = {'flat': 'image_folder', 'indexed': 'paired_folder'}


def find_leaks(folder: Path) -> list[str]:
    """Where planted words stand below a folder: in names, in bytes, and inside of what is packed."""
    found = []
    for path in sorted(folder.rglob('*')):
        relative = str(path.relative_to(folder))
        found += [f'{relative}: its name' for word in PLANTED if word.lower() in relative.lower()]
        if path.is_file() and path.name != PRIVATE:
            for part, content in _contents(path):
                lower = content.lower()
                found += [f'{relative}{part}: {word}' for word in PLANTED if word.lower().encode() in lower]
    return found


def _contents(path: Path) -> list[tuple[str, bytes]]:
    """The bytes of a file, and of what is packed in it."""
    content = path.read_bytes()
    contents = [('', content)]
    if '.array_record' in path.name:
        contents += [('#records', b'\0'.join(ArrayRecordReader(str(path)).read_all()))]
    elif content[:2] == b'\x1f\x8b':
        contents += [('#unpacked', gzip.decompress(content))]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            contents += [(f'#{name}', name.encode() + packed.read(name)) for name in packed.namelist()]
    return contents
