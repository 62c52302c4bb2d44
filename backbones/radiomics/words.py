"""What radiomic features say, in the words of people who look at images."""

_BANDS = {
    'wavelet-LH': 'of horizontal detail',  # low along rows, high along columns
    'wavelet-HL': 'of vertical detail',
    'wavelet-HH': 'of diagonal detail',
    'wavelet-LL': 'of the coarse image',
}
_INTENSITIES = {
    '10Percentile': 'how dark the dark parts are',
    '90Percentile': 'how bright the bright parts are',
    'Energy': 'sum of squared brightness',
    'Entropy': 'how many grey levels are in use',
    'InterquartileRange': 'spread of the middle half of the brightness',
    'Kurtosis': 'how far outliers of brightness lie',
    'Maximum': 'the brightest pixel',
    'MeanAbsoluteDeviation': 'mean distance from the mean brightness',
    'Mean': 'mean brightness',
    'Median': 'median brightness',
    'Minimum': 'the darkest pixel',
    'Range': 'from the darkest to the brightest pixel',
    'RobustMeanAbsoluteDeviation': 'spread of brightness without its extremes',
    'RootMeanSquared': 'root mean square of brightness',
    'Skewness': 'whether few bright or few dark pixels stand out',
    'TotalEnergy': 'sum of squared brightness',
    'Uniformity': 'how few grey levels are in use',
    'Variance': 'spread of brightness',
}
_PAIRS = {
    'Autocorrelation': 'brightness that neighbours share',
    'JointAverage': 'mean grey level',
    'ClusterProminence': 'extreme patches, bright or dark',
    'ClusterShade': 'whether bright or dark patches stand out',
    'ClusterTendency': 'patches of like brightness',
    'Contrast': 'contrast of neighbours (squared)',
    'Correlation': 'how well a pixel tells its neighbour',
    'DifferenceAverage': 'contrast of neighbours',
    'DifferenceEntropy': 'how various the contrasts of neighbours are',
    'DifferenceVariance': 'spread of the contrasts of neighbours',
    'JointEnergy': 'how often the same pairs of grey levels recur',
    'JointEntropy': 'how various pairs of grey levels are',
    'Imc1': 'how far neighbours depend on each other',
    'Imc2': 'how far neighbours depend on each other',
    'Idm': 'smoothness',
    'Idmn': 'smoothness, for the grey levels in use',
    'Id': 'smoothness',
    'Idn': 'smoothness, for the grey levels in use',
    'InverseVariance': 'how many neighbours differ by little',
    'MaximumProbability': 'share of the most frequent pair of grey levels',
    'SumEntropy': 'how various the brightness of pairs is',
    'SumSquares': 'spread of grey levels in pairs',
}
_DIFFERENCES = {
    'Busyness': 'rapid change from pixel to pixel',
    'Coarseness': 'coarseness of texture',
    'Complexity': 'many sharp changes of grey level',
    'Contrast': 'visible changes of grey level',
    'Strength': 'how distinct the parts of the texture are',
}
_EXTENTS = {
    'GrayLevelNonUniformity': 'a few grey levels make most {}',
    'GrayLevelNonUniformityNormalized': 'a few grey levels make most {}',
    'GrayLevelVariance': 'spread of the grey levels of {}',
    'High': '{} that are bright',
    'Low': '{} that are dark',
    'Long': 'large {}',
    'LongHigh': 'large {} that are bright',
    'LongLow': 'large {} that are dark',
    'Short': 'small {}: fine texture',
    'ShortHigh': 'small {} that are bright',
    'ShortLow': 'small {} that are dark',
    'Entropy': 'how various {} are in size and brightness',
    'SizeNonUniformity': 'most {} are of a few sizes',
    'SizeNonUniformityNormalized': 'most {} are of a few sizes',
    'Percentage': 'how many {} there are: fineness of texture',
    'Variance': 'spread of the sizes of {}',
}
_KINDS = {'firstorder': _INTENSITIES, 'glcm': _PAIRS, 'ngtdm': _DIFFERENCES}
_NOUNS = {'glrlm': 'runs of one grey level', 'glszm': 'zones of one grey level'}
# What names of runs and zones have in common, once these words are replaced.
_WORDS = (
    ('LongRun', 'Long'), ('ShortRun', 'Short'), ('LargeArea', 'Long'), ('SmallArea', 'Short'),
    ('RunLength', 'Size'), ('SizeZone', 'Size'), ('GrayLevelRun', ''), ('GrayLevelZone', ''), ('Run', ''),
    ('Zone', ''), ('Emphasis', ''),
)  # fmt: skip


def describe_feature(name: str) -> str:
    """A few words on a feature of FEATURES or DIAGNOSTICS."""
    band, _, rest = name.partition('_') if name.startswith('wavelet') else ('', '', name)
    kind, _, feature = rest.partition('_')
    if kind == 'diagnostics':
        return 'a fact of the image before it was normalised' if 'original' in feature else 'a fact of the image'
    said = _KINDS[kind][feature] if kind in _KINDS else _EXTENTS[_shorten(feature)].format(_NOUNS[kind])
    return f'{said}, {_BANDS[band]}' if band else said


def _shorten(feature: str) -> str:
    if feature in _EXTENTS:
        return feature
    for word, short in _WORDS:
        feature = feature.replace(word, short)
    return feature.replace('GrayLevel', '')
