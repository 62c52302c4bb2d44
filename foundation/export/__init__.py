"""What folders of images hold: pictures, NIfTI and DICOM files, manifests, for every task alike."""

__all__ = ['derived', 'dicom', 'folder', 'manifest', 'nifti', 'origin', 'pictures', 'verification']
