"""Does it help? Arms of a study as cells, cells as jobs, and what their results say."""

__all__ = ['analysis', 'design', 'jobs', 'plan', 'results']
