"""From a folder of medical files to batches: readers, TFDS builders, preprocessing and batching.

The only package that imports tensorflow_datasets and grain. Imports nothing else of this project.
"""
