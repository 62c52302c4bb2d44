"""Configs of `backbones.main`."""
