"""Logits that mean what they say."""

import numpy as np
import scipy.special


def draw_calibrated(count, seed):
    """Log probabilities, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    logits = scipy.special.log_softmax(2 * generator.normal(size=(count, 3)), axis=1)
    labels = (np.exp(logits).cumsum(axis=1) < generator.uniform(size=(count, 1))).sum(axis=1)
    return logits, np.minimum(labels, 2)
