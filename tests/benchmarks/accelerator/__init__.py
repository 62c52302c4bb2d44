"""Tests of `benchmarks.accelerator`."""
