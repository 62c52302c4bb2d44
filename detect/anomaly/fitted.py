"""What a fit found, as named arrays that one .npz file holds without pickle."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import TypeVar

import jaxtyping
import numpy as np

from foundation.training.errors import UserError

_Kind = TypeVar('_Kind', bound='Fitted')


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """Base of data classes whose fields are arrays alone, each annotated with its type and shape."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls: type[_Kind], arrays: Mapping[str, np.ndarray]) -> _Kind:
        """What `to_arrays` gave, believed only as far as it has the annotated form.

        Raises:
          UserError: when names, types or shapes are others, shapes disagree, or a value is not finite.
        """
        hints = typing.get_type_hints(cls)
        if set(arrays) != set(hints):
            raise UserError(f'{cls.__name__} has the arrays {sorted(hints)}, not {sorted(arrays)}; fit it again.')
        values = {name: arrays[name] for name in hints}
        with jaxtyping.jaxtyped('context'):  # sizes of the same name are equal in all arrays
            for name, value in values.items():
                if not isinstance(value, hints[name]):
                    form = f'{value.dtype} of the shape {value.shape}'
                    raise UserError(f'{cls.__name__}.{name} is {form}, which does not fit; fit it again.')
                if not np.isfinite(value).all():
                    raise UserError(f'{cls.__name__}.{name} has values that are not finite; fit it again.')
        return cls(**values)
