"""Configs of `detect.main`."""
