"""Takes in the formats of other programs: EXR, 16-bit PNG, ProRes, DNxHR, MP4, in the plate's depth and colours."""

from ex4d.export.run import export_take, exported_already
from ex4d.export.source import TakePictures

__all__ = ["TakePictures", "export_take", "exported_already"]
