"""Signatures on what is released, so that others can tell who released it and that nothing was changed since.

Needs the packages `cryptography` and `rfc3161-client` (extra `signing`), and `c2pa-python` (extra `c2pa`) for
credentials in pictures.
Nothing here imports NumPy or JAX.
"""

__all__ = [
    'authority',
    'checklist',
    'credentials',
    'dicom_signature',
    'dicom_stream',
    'files',
    'findings',
    'keys',
    'kinds',
    'moment',
    'packages',
    'timestamp',
]
