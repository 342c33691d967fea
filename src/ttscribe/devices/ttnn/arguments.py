"""What a Program says of a call, as the objects that TT-NN takes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ttscribe.compiler.program import Config, DType, Layout, Memory, TensorSpec


class Arguments:
    """Makes TT-NN's arguments for one device; ``library`` is the ttnn module."""

    def __init__(self, library: Any, device: Any) -> None:
        self.library, self.device = library, device
        self._made: dict[Any, Any] = {}

    @cached_property
    def grid(self) -> Any:
        return self.device.compute_with_storage_grid_size()

    def argument(self, item: Any) -> Any:
        """An attribute; element types, layouts, memory and configurations become TT-NN's own."""
        if isinstance(item, DType | Layout | Memory | Config):
            if item not in self._made:
                self._made[item] = self._make(item)
            return self._made[item]
        if isinstance(item, tuple | list):
            return [self.argument(each) for each in item]
        return item

    def placement(self, spec: TensorSpec) -> dict[str, Any]:
        """The keyword arguments that make a tensor of ``spec``, but for its shape."""
        chosen = {"dtype": spec.dtype, "layout": spec.layout, "memory_config": spec.memory}
        return {name: self.argument(item) for name, item in chosen.items()}

    def _make(self, item: DType | Layout | Memory | Config) -> Any:
        if isinstance(item, DType):
            return getattr(self.library, item.value)
        if isinstance(item, Layout):
            return getattr(self.library, f"{item.value.upper()}_LAYOUT")
        return self._memory(item) if isinstance(item, Memory) else self._config(item)

    def _memory(self, memory: Memory) -> Any:
        if memory.sharding is None:
            return getattr(self.library, f"{memory.buffer.upper()}_MEMORY_CONFIG")
        sharding = memory.sharding
        return self.library.create_sharded_memory_config(
            shape=sharding.shape,
            core_grid=self.library.num_cores_to_corerangeset(sharding.cores, self.grid, row_wise=True),
            strategy=getattr(self.library.ShardStrategy, sharding.strategy.upper()),
            use_height_and_width_as_shard_shape=True,
        )

    def _config(self, config: Config) -> Any:
        fields = {name: self.argument(item) for name, item in config.fields}
        if config.kind == "FullGrid":
            return self.library.CoreGrid(y=self.grid.y, x=self.grid.x)
        if config.kind == "ComputeKernelConfig":
            fidelity = getattr(self.library.MathFidelity, fields.pop("math_fidelity"))
            chip = self.device.arch()
            return self.library.init_device_compute_kernel_config(chip, math_fidelity=fidelity, **fields)
        if config.kind == "SDPAProgramConfig":
            fields["compute_with_storage_grid_size"] = self.grid
        if config.kind == "Conv1dConfig" and "activation" in fields:
            activation = getattr(self.library.UnaryOpType, fields["activation"].upper())
            fields["activation"] = self.library.UnaryWithParam(activation)
        made = getattr(self.library, config.kind)
        return made if config.kind == "Conv2dL1FullSliceConfig" else made(**fields)
