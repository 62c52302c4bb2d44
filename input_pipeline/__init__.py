"""From a folder of medical files to batches: readers, TFDS builders, preprocessing and batching.

The only package that imports tensorflow_datasets and grain. Of this project it imports `foundation` alone.
"""

from foundation import startup  # noqa: F401  (before all that takes time)
from input_pipeline.atomic import complete_folder
from input_pipeline.cases import Case, preprocess_case, restore_size
from input_pipeline.dataset.builder import Target
from input_pipeline.dataset.catalogue import count_images, ensure_prepared, find_data_dir
from input_pipeline.dataset.content import find_content
from input_pipeline.dataset.generated import Generated, write_generated
from input_pipeline.dataset.provenance import Provenance, find_provenance
from input_pipeline.dataset.selection import open_dataset
from input_pipeline.decode import OUTSIDE
from input_pipeline.domains import Domains, NoPairsError, open_domains, require_window
from input_pipeline.errors import DataError
from input_pipeline.intensities import from_unit, join_masks, split_masks, to_physical, to_unit, unpack
from input_pipeline.phantom import PhantomOptions
from input_pipeline.preprocessing import Preprocessing
from input_pipeline.records import Record
from input_pipeline.sampling import PoissonSampling
from input_pipeline.stream import ImageData
from input_pipeline.volumes import DepthGrid, PatchShape, VolumeData, mix_slices

__all__ = [
    'OUTSIDE',
    'Case',
    'DataError',
    'DepthGrid',
    'Domains',
    'Generated',
    'ImageData',
    'NoPairsError',
    'PatchShape',
    'PhantomOptions',
    'PoissonSampling',
    'Preprocessing',
    'Provenance',
    'Record',
    'Target',
    'VolumeData',
    'advice',
    'atomic',
    'borders',
    'cases',
    'command',
    'complete_folder',
    'count_images',
    'dataset',
    'decode',
    'depth',
    'derive',
    'domains',
    'ensure_prepared',
    'errors',
    'find_content',
    'find_data_dir',
    'find_provenance',
    'flags',
    'from_unit',
    'inputs',
    'join_masks',
    'journal',
    'mix_slices',
    'open_dataset',
    'open_domains',
    'order',
    'parallel',
    'phantom',
    'placement',
    'prepare',
    'preprocess_case',
    'preprocessing',
    'readers',
    'records',
    'report',
    'require_window',
    'restore_size',
    'split_masks',
    'stream',
    'to_physical',
    'to_unit',
    'unpack',
    'volumes',
    'write_generated',
]
