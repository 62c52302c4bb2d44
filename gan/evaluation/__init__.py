"""Measuring a trained generator: extractors, streams of images, all scores, and what people see of them."""

__all__ = ['evaluation', 'extractors', 'report', 'scoring', 'sets', 'statistics', 'tables']
