"""The reader study: people tell generated images from real ones, by a plan fixed before the first answer."""

__all__ = ['analysis', 'answers', 'cases', 'plan', 'power', 'report', 'server']
