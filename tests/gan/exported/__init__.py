"""Tests of `gan.weights`."""
