"""Files as they come in to be looked at by a trained network, with what is needed to answer in their geometry."""

from input_pipeline.inputs.files import Incoming, Kind, find_incoming, list_checksum
from input_pipeline.inputs.geometry import DicomGrid, VolumeGrid, read_header
from input_pipeline.readers.itk_volume import encode_like

__all__ = [
    'DicomGrid',
    'Incoming',
    'Kind',
    'VolumeGrid',
    'encode_like',
    'find_incoming',
    'list_checksum',
    'read_header',
]
