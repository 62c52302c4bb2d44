"""Configs of `gan.main`."""
