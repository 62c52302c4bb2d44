"""What folders of images hold: pictures, NIfTI and DICOM files, manifests, for every task alike."""

__all__ = ['dicom', 'folder', 'manifest', 'nifti', 'origin', 'pictures', 'verification']
