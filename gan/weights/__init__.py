"""A generator in a folder of its own, to be kept and passed on: its averaged weights, and what they mean.

`generator.json` describes it and names the files of its weights, `generator-1-of-4.safetensors` and so on. Nothing
of the training data is in them but the facts that a run keeps, and no folder of the machine.
"""

from gan.weights.description import GENERATOR_FILE, Description, check_apart, is_exported, read_description
from gan.weights.weights import DTYPES, read_variables, write_exported

__all__ = [
    'DTYPES',
    'GENERATOR_FILE',
    'Description',
    'check_apart',
    'is_exported',
    'read_description',
    'read_variables',
    'write_exported',
]
