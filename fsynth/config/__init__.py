"""Every setting, once: name, type, default, range and help of each command.

How a config is loaded, dumped and checked stands in `fsynth.settings`.
"""

from __future__ import annotations

from fsynth.config.clip import (
    ClipEvalConfig,
    ClipFinetuneBatches,
    ClipFinetuneConfig,
    ClipFinetuneLora,
    ClipFinetuneMemory,
    ClipFinetuneOptimizer,
    ClipFinetuneTuning,
    ClipFinetuneValidation,
)
from fsynth.config.data import (
    DataCheckConfig,
    DataExportConfig,
    DataLabelsConfig,
    DataMakeConfig,
    DataReportConfig,
)
from fsynth.config.samples import ExportConfig, ReportConfig, SampleConfig, ScoreConfig, ScorerSettings
from fsynth.config.sd import (
    SDCacheConfig,
    SDTrainBuckets,
    SDTrainCache,
    SDTrainConfig,
    SDTrainLora,
    SDTrainMemory,
    SDTrainObjective,
    SDTrainOptimizer,
    SDTrainText,
    SDTrainTuning,
    SDTrainValidation,
)
from fsynth.config.shared import (
    AugmentSettings,
    DataSettings,
    OutputSettings,
    PictureSettings,
    RowSettings,
    TrackingSettings,
    TrainSettings,
)
from fsynth.config.start import DemoConfig, DemoSizes, DoctorConfig

__all__ = [
    "AugmentSettings",
    "ClipEvalConfig",
    "ClipFinetuneBatches",
    "ClipFinetuneConfig",
    "ClipFinetuneLora",
    "ClipFinetuneMemory",
    "ClipFinetuneOptimizer",
    "ClipFinetuneTuning",
    "ClipFinetuneValidation",
    "DataCheckConfig",
    "DataExportConfig",
    "DataLabelsConfig",
    "DataMakeConfig",
    "DataReportConfig",
    "DataSettings",
    "DemoConfig",
    "DemoSizes",
    "DoctorConfig",
    "ExportConfig",
    "OutputSettings",
    "PictureSettings",
    "ReportConfig",
    "RowSettings",
    "SDCacheConfig",
    "SDTrainBuckets",
    "SDTrainCache",
    "SDTrainConfig",
    "SDTrainLora",
    "SDTrainMemory",
    "SDTrainObjective",
    "SDTrainOptimizer",
    "SDTrainText",
    "SDTrainTuning",
    "SDTrainValidation",
    "SampleConfig",
    "ScoreConfig",
    "ScorerSettings",
    "TrackingSettings",
    "TrainSettings",
]
