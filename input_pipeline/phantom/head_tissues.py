"""What the tissues of a head look like in each contrast: T1 and T2 in arbitrary units, CT in Hounsfield units."""

import dataclasses
from collections.abc import Callable

import numpy as np

from input_pipeline.phantom.geometry import Field
from input_pipeline.phantom.texture import add_gaussian_noise, add_rician_noise


@dataclasses.dataclass(frozen=True, slots=True)
class Tissues:
    """Values of a contrast.

    Attributes:
      air, skin, scalp, skull, marrow, fluid, grey, deep_grey, white: of the healthy head.
      oedema: of what surrounds a tumour; the value of tissue moves there, but never past it.
      rim, core: of a tumour.
      mottle: of all tissues, relative to T1.
      shading: variation over the image, as a share; of surface coils.
      noise: standard deviation.
      add_noise: `add_noise(generator, image, deviation)`.
      stream: a number of its own, lest two contrasts of a patient have the same noise.
    """

    air: float
    skin: float
    scalp: float
    skull: float
    marrow: float
    fluid: float
    grey: float
    deep_grey: float
    white: float
    oedema: float
    rim: float
    core: float
    mottle: float
    shading: float
    noise: float
    add_noise: Callable[[np.random.Generator, Field, float], Field]
    stream: int


T1 = Tissues(
    air=0.0, skin=1500.0, scalp=2900.0, skull=180.0, marrow=850.0, fluid=380.0, grey=1500.0, deep_grey=1750.0,
    white=2350.0, oedema=1250.0, rim=3300.0, core=1150.0, mottle=1.0, shading=0.10, noise=75.0,
    add_noise=add_rician_noise, stream=0,
)  # fmt: skip
T2 = Tissues(
    air=0.0, skin=1000.0, scalp=1700.0, skull=150.0, marrow=900.0, fluid=2900.0, grey=1550.0, deep_grey=1350.0,
    white=1000.0, oedema=2000.0, rim=1400.0, core=2500.0, mottle=0.6, shading=0.10, noise=75.0,
    add_noise=add_rician_noise, stream=1,
)  # fmt: skip
CT = Tissues(
    air=-1000.0, skin=40.0, scalp=-80.0, skull=1200.0, marrow=500.0, fluid=8.0, grey=38.0, deep_grey=36.0,
    white=29.0, oedema=18.0, rim=75.0, core=15.0, mottle=0.03, shading=0.0, noise=5.0,
    add_noise=add_gaussian_noise, stream=2,
)  # fmt: skip
