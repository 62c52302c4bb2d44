"""Configs of `segment.main` and `segment.study`."""
