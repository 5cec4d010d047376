"""What can be set for a fake cluster."""

from dataclasses import dataclass

from typing_extensions import override

from apps.compute.backends.base import BackendSettings, SettingField


@dataclass(frozen=True, slots=True)
class FakeSettings(BackendSettings):
    """Settings of one fake cluster."""

    world: str = "default"
    live: bool = True
    cpu_milli: int = 64_000
    memory_bytes: int = 256 << 30
    gpu_milli: int = 8_000

    @classmethod
    @override
    def fields(cls) -> tuple[SettingField, ...]:
        return (
            SettingField(
                "world", str, "default", "Name of the world in this process; backends that share it, share all."
            ),
            SettingField("live", bool, True, "Whether the world's clock is the real one, or turned by a test."),
            SettingField("cpu_milli", int, 64_000, "CPU to offer, in milli-units."),
            SettingField("memory_bytes", int, 256 << 30, "Memory to offer, in bytes."),
            SettingField("gpu_milli", int, 8_000, "GPUs to offer, in milli-units."),
        )
