"""How arrays are made from CTs: the `arrays:` section of params.yaml, shared by every input mode."""

from dataclasses import dataclass, field

from femseg.cohorts.store import ArrayKind
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySettings:
    """What every input mode's recipe has in common; see `InputRecipe`."""

    shape_zyx: tuple[int, int, int] = (512, 64, 64)
    anti_aliasing: bool = False
    raw_scaling: Scaling = field(default_factory=Scaling)
    gradient_scaling: Scaling = field(default_factory=Scaling)

    def recipe(self, kind: ArrayKind) -> InputRecipe:
        """The recipe of one kind of array; it holds only what these arrays depend on."""
        if kind == "mask":
            return InputRecipe(input_mode="raw", shape_zyx=self.shape_zyx)
        return InputRecipe(
            input_mode=kind,
            shape_zyx=self.shape_zyx,
            anti_aliasing=self.anti_aliasing,
            raw_scaling=Scaling() if kind == "gradient" else self.raw_scaling,
            gradient_scaling=Scaling() if kind == "raw" else self.gradient_scaling,
        )
