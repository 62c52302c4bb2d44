"""Tests of `gan.exported`."""
