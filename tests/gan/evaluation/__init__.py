"""Tests of `gan.evaluation`."""
