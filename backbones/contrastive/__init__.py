"""Encoders trained without labels: two views of an image are told from views of all others."""

__all__ = ['encoder', 'loss', 'network', 'probe', 'recipe', 'train', 'views']
