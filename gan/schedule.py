"""When the networks grow: stages counted in images (Karras et al. 2018, section 2)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Training at one resolution: first the new block fades in, then all is stable.

    Attributes:
      resolution: height and width of the images.
      batch_size: images of the global batch.
      start: images seen when the stage begins.
      fade_images, stable_images: length of its two parts, multiples of the batch.
    """

    resolution: int
    batch_size: int
    start: int
    fade_images: int
    stable_images: int

    @property
    def end(self) -> int:
        """Images seen when the stage is over."""
        return self.start + self.fade_images + self.stable_images

    @property
    def name(self) -> str:
        """As in the layers' names, `64x64`."""
        return f'{self.resolution}x{self.resolution}'


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How networks grow, and for how long they are trained; see `create_stages`.

    Attributes:
      initial_resolution, final_resolution: of the first and the last stage; 0 begins with the final one.
      batch_size: images of a global batch, by resolution: `at_4`, `at_8`, ...
      fade_images, stable_images: length of each stage's two parts.
      final_images: more for the last stage.
      final_epochs: and more, in passes over the data.
    """

    initial_resolution: int
    final_resolution: int
    batch_size: Mapping[str, int]
    fade_images: int | Mapping[str, int]
    stable_images: int | Mapping[str, int]
    final_images: int
    final_epochs: int

    @property
    def first_resolution(self) -> int:
        """Height and width of the first stage's images."""
        return self.initial_resolution or self.final_resolution

    def stages(self, num_examples: int) -> tuple[Stage, ...]:
        """The stages on so many training images.

        Raises:
          ValueError: see `create_stages`.
        """
        return create_stages(
            initial_resolution=self.first_resolution,
            final_resolution=self.final_resolution,
            batch_size=self.batch_size,
            fade_images=self.fade_images,
            stable_images=self.stable_images,
            final_images=self.final_images + self.final_epochs * num_examples,
        )


def create_stages(
    *,
    initial_resolution: int,
    final_resolution: int,
    batch_size: Mapping[str, int],
    fade_images: int | Mapping[str, int],
    stable_images: int | Mapping[str, int],
    final_images: int,
) -> tuple[Stage, ...]:
    """Stages from the initial to the final resolution; the first has nothing to fade in.

    Lengths are rounded up to whole batches. `final_images` are added to the last stage. A network that does
    not grow is a schedule of one stage.

    Args:
      initial_resolution, final_resolution: of the first and the last stage.
      batch_size: images of a global batch, by resolution: `at_4`, `at_8`, ...
      fade_images, stable_images: length of each stage's two parts, in images: the same for all, or by resolution
        as the batches.
      final_images: see above.

    Raises:
      ValueError: for resolutions that are not powers of two from 4 to 1024, a resolution without a batch
        size or a length, or lengths that are negative or leave a stage empty.
    """
    for name, value in [('initial_resolution', initial_resolution), ('resolution', final_resolution)]:
        if value not in [4 << power for power in range(9)]:
            raise ValueError(f'{name} is {value}, but must be a power of two from 4 to 1024.')
    if initial_resolution > final_resolution:
        raise ValueError(f'initial_resolution {initial_resolution} exceeds resolution {final_resolution}.')
    stages: list[Stage] = []
    resolution = initial_resolution
    while resolution <= final_resolution:
        if batch_size.get(f'at_{resolution}', 0) < 1:
            raise ValueError(f'schedule.batch_size.at_{resolution} must be at least 1.')
        batch = batch_size[f'at_{resolution}']
        fade, stable = (_at(resolution, images) for images in (fade_images, stable_images))
        if min(fade, stable, final_images) < 0 or stable + final_images == 0:
            raise ValueError(
                'schedule: fade_images, stable_images and final_images must not be negative, nor all zero.'
            )
        stable += final_images if resolution == final_resolution else 0
        start = stages[-1].end if stages else 0
        fade = _round_up(fade, batch) if stages else 0
        stages.append(Stage(resolution, batch, start, fade, _round_up(stable, batch)))
        resolution *= 2
    return tuple(stages)


def locate(stages: Sequence[Stage], images_seen: int) -> tuple[Stage, float]:
    """The stage at `images_seen`, and how far its new block has faded in (0 to 1).

    The end of the last stage and everything beyond belong to the last stage.
    """
    stage = next((stage for stage in stages if images_seen < stage.end), stages[-1])
    return stage, fade_in(stage, images_seen)


def fade_in(stage: Stage, images_seen: int) -> float:
    """alpha at `images_seen`: 0 at the start of the fade, 1 from its end on."""
    if stage.fade_images == 0:
        return 1.0
    return min(max((images_seen - stage.start) / stage.fade_images, 0.0), 1.0)


def _at(resolution: int, images: int | Mapping[str, int]) -> int:
    if not isinstance(images, Mapping):
        return images
    if f'at_{resolution}' not in images:
        raise ValueError(f'schedule: fade_images and stable_images need a length at_{resolution}.')
    return images[f'at_{resolution}']


def _round_up(images: int, batch: int) -> int:
    return math.ceil(images / batch) * batch
