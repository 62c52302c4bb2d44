"""Tests of `backbones.contrastive`."""
