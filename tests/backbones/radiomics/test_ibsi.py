"""Features are those that the Image Biomarker Standardisation Initiative agreed on for its digital phantom.

Zwanenburg et al., Radiology 2020, doi:10.1148/radiol.2020191145; the phantom and its values are CC BY 4.0.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from backbones.radiomics.intensities import intensity_features
from backbones.radiomics.matrices import (
    OUTSIDE,
    Extents,
    count_pairs,
    find_runs,
    find_zones,
    half_neighbourhood,
    sum_differences,
)
from backbones.radiomics.texture import (
    RUNS,
    ZONES,
    extent_features,
    mean_features,
    neighbourhood_features,
    pair_features,
)

_PHANTOM = json.loads(Path(__file__).with_name('ibsi_digital_phantom.json').read_text())
_IMAGE, _MASK = (np.array(_PHANTOM[name]) for name in ('image', 'mask'))
_GREY = np.array([1.0, 3.0, 4.0, 6.0])
_LEVELS = np.where(_MASK == 1, np.searchsorted(_GREY, _IMAGE), OUTSIDE)
_COUNT, _SPAN = len(_GREY), 6
_PLANE, _SPACE = half_neighbourhood(2), half_neighbourhood(3)

_INTENSITIES = {
    'mean': 'Mean', 'var': 'Variance', 'skew': 'Skewness', 'median': 'Median', 'min': 'Minimum',
    'p10': '10Percentile', 'p90': '90Percentile', 'max': 'Maximum', 'iqr': 'InterquartileRange',
    'range': 'Range', 'mad': 'MeanAbsoluteDeviation', 'rmad': 'RobustMeanAbsoluteDeviation', 'energy': 'Energy',
    'rms': 'RootMeanSquared', 'kurt': 'Kurtosis', 'entropy': 'Entropy', 'uniformity': 'Uniformity',
}  # fmt: skip
_PAIRS = {
    'joint_max': 'MaximumProbability', 'joint_avg': 'JointAverage', 'joint_var': 'SumSquares',
    'joint_entr': 'JointEntropy', 'diff_avg': 'DifferenceAverage', 'diff_var': 'DifferenceVariance',
    'diff_entr': 'DifferenceEntropy', 'sum_entr': 'SumEntropy', 'energy': 'JointEnergy', 'contrast': 'Contrast',
    'dissimilarity': 'DifferenceAverage', 'inv_diff': 'Id', 'inv_diff_norm': 'Idn', 'inv_diff_mom': 'Idm',
    'inv_diff_mom_norm': 'Idmn', 'inv_var': 'InverseVariance', 'corr': 'Correlation',
    'auto_corr': 'Autocorrelation', 'clust_tend': 'ClusterTendency', 'clust_shade': 'ClusterShade',
    'clust_prom': 'ClusterProminence', 'info_corr1': 'Imc1', 'info_corr2': 'Imc2',
    'sum_avg': 'twice JointAverage', 'sum_var': 'ClusterTendency',
}  # fmt: skip
_EXTENTS = {
    'gl_var': 'GrayLevelVariance', 'glnu': 'GrayLevelNonUniformity',
    'glnu_norm': 'GrayLevelNonUniformityNormalized', 'sre': 'ShortRunEmphasis', 'lre': 'LongRunEmphasis',
    'lgre': 'LowGrayLevelRunEmphasis', 'hgre': 'HighGrayLevelRunEmphasis',
    'srlge': 'ShortRunLowGrayLevelEmphasis', 'srhge': 'ShortRunHighGrayLevelEmphasis',
    'lrlge': 'LongRunLowGrayLevelEmphasis', 'lrhge': 'LongRunHighGrayLevelEmphasis',
    'rlnu': 'RunLengthNonUniformity', 'rlnu_norm': 'RunLengthNonUniformityNormalized',
    'r_perc': 'RunPercentage', 'rl_var': 'RunVariance', 'rl_entr': 'RunEntropy', 'sze': 'SmallAreaEmphasis',
    'lze': 'LargeAreaEmphasis', 'lgze': 'LowGrayLevelZoneEmphasis', 'hgze': 'HighGrayLevelZoneEmphasis',
    'szlge': 'SmallAreaLowGrayLevelEmphasis', 'szhge': 'SmallAreaHighGrayLevelEmphasis',
    'lzlge': 'LargeAreaLowGrayLevelEmphasis', 'lzhge': 'LargeAreaHighGrayLevelEmphasis',
    'zsnu': 'SizeZoneNonUniformity', 'zsnu_norm': 'SizeZoneNonUniformityNormalized', 'z_perc': 'ZonePercentage',
    'zs_var': 'ZoneVariance', 'zs_entr': 'ZoneEntropy',
}  # fmt: skip
_DIFFERENCES = {name.lower(): name for name in ('Coarseness', 'Contrast', 'Busyness', 'Complexity', 'Strength')}


def _expected(prefix, suffix, names):
    """Consensus values and tolerances of one way of putting matrices together, by our names of features."""
    found = {}
    for place, value in _PHANTOM['values'].items():
        if place.startswith(prefix) and place.endswith(suffix):
            name = place.removeprefix(prefix).removesuffix(suffix)
            found[names[name]] = value
    assert found
    return found


def _compare(features, expected):
    for name, (value, tolerance) in expected.items():
        rounding = 0.5 * 10.0 ** (np.floor(np.log10(abs(value))) - 2) if value else 0  # three significant digits
        assert features[name] == pytest.approx(value, abs=max(tolerance, 1.01 * rounding)), name


def test_intensities():
    values = _IMAGE[_MASK == 1].astype(float)
    shares = np.bincount(_LEVELS[_LEVELS != OUTSIDE]) / len(values)
    features = intensity_features(values, shares, shift=0.0, volume=8.0)
    features['Kurtosis'] -= 3  # IBSI's is in excess of a Gaussian's
    wanted = [name for name in _PHANTOM['values'] if name.startswith('stat_')]
    names = _INTENSITIES | {name.removeprefix('stat_'): 'not ours' for name in wanted} | _INTENSITIES
    expected = _expected('stat_', '', names)
    del expected['not ours']
    assert len(expected) == 15
    _compare(features, expected)
    _compare(features, {name: _PHANTOM['values'][f'ih_{name.lower()}'] for name in ('Entropy', 'Uniformity')})
    assert features['TotalEnergy'] == 8 * features['Energy']


# How matrices are put together: for each mean, the images and directions that make one matrix.
_SLICES = list(_LEVELS)
_MERGED = {
    '2d_avg': [([plane], [offset]) for plane in _SLICES for offset in _PLANE],
    '2d_s_mrg': [([plane], _PLANE) for plane in _SLICES],
    '2.5d_d_mrg': [(_SLICES, [offset]) for offset in _PLANE],
    '2.5d_v_mrg': [(_SLICES, _PLANE)],
    '3d_avg': [([_LEVELS], [offset]) for offset in _SPACE],
    '3d_v_mrg': [([_LEVELS], _SPACE)],
}
_JOINED = {
    '2d': [[plane] for plane in _SLICES],
    '2.5d': [_SLICES],
    '3d': [[_LEVELS]],
}


def _join(extents):
    levels, sizes = zip(*extents, strict=True)
    return Extents(np.concatenate(levels), np.concatenate(sizes))


def _pixels(images):
    return sum(int((image != OUTSIDE).sum()) for image in images)


@pytest.mark.parametrize('way', _MERGED)
def test_pairs(way):
    each = [
        pair_features(
            sum(count_pairs(image, _COUNT, offset) for image in images for offset in offsets), _GREY, _SPAN
        )
        for images, offsets in _MERGED[way]
    ]
    features = mean_features(each)
    features['twice JointAverage'] = 2 * features['JointAverage']
    expected = _expected('cm_', f'_d1_{way}', _PAIRS)
    assert len(expected) == 23  # two of the 25 are others by another name
    _compare(features, expected)


@pytest.mark.parametrize('way', _MERGED)
def test_runs(way):
    each = [
        extent_features(
            _join([find_runs(image, offset) for image in images for offset in offsets]),
            _GREY,
            _pixels(images) * len(offsets),
            RUNS,
        )
        for images, offsets in _MERGED[way]
    ]
    expected = _expected('rlm_', f'_{way}', _EXTENTS)
    assert len(expected) == 16
    _compare(mean_features(each), expected)


@pytest.mark.parametrize('way', _JOINED)
def test_zones(way):
    each = [
        extent_features(_join([find_zones(image) for image in images]), _GREY, _pixels(images), ZONES)
        for images in _JOINED[way]
    ]
    expected = _expected('szm_', f'_{way}', _EXTENTS)
    assert len(expected) == 16
    _compare(mean_features(each), expected)


@pytest.mark.parametrize('way', _JOINED)
def test_neighbourhoods(way):
    each = []
    for images in _JOINED[way]:
        differences, numbers = (
            np.sum(part, axis=0) for part in zip(*(sum_differences(image, _GREY) for image in images), strict=True)
        )
        each.append(neighbourhood_features(differences, numbers, _GREY))
    expected = _expected('ngt_', f'_{way}', _DIFFERENCES)
    assert len(expected) == 5
    _compare(mean_features(each), expected)
