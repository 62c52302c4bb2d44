"""Files as they come in to be looked at by a trained network, with what is needed to answer in their geometry."""

from input_pipeline.inputs.files import Incoming, Kind, find_incoming
from input_pipeline.inputs.geometry import DicomGrid, NiftiGrid, read_header

__all__ = ['DicomGrid', 'Incoming', 'Kind', 'NiftiGrid', 'find_incoming', 'read_header']
