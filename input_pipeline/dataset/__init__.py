"""Data sets on disk: written by builders, described by summaries, split by patients, opened and chosen from."""

__all__ = ['builder', 'catalogue', 'items', 'mixture', 'pseudonyms', 'splits', 'summary', 'user_key']
