"""What models are asked to tell: the labels of the held-out pictures, and classes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fsynth import attribute_tasks, evaluation, zero_shot
from fsynth.class_pictures import ClassPictures
from fsynth.clip_model import ClipModel
from fsynth.evaluation import Evaluation
from fsynth.gallery import Gallery
from fsynth.zero_shot import Hits, Task


@dataclass(frozen=True)
class Exam:
    """The same questions for every model of a comparison.

    Attributes:
        attributes: about the pictures of a gallery.
        elsewhere: pictures of classes from elsewhere; None for none.
    """

    attributes: tuple[Task, ...]
    elsewhere: ClassPictures | None = None

    @staticmethod
    def of(gallery: Gallery, elsewhere: ClassPictures | None = None) -> Exam:
        """The questions about a gallery's rows, and about pictures from elsewhere."""
        found = attribute_tasks.tasks(gallery.dataset, gallery.rows, gallery.captions.row_groups)
        return Exam(tuple(found), elsewhere)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All of them, in the order of the tables."""
        return self.attributes if self.elsewhere is None else (*self.attributes, self.elsewhere.task())

    def take(
        self, model: ClipModel, found: Evaluation, workers: int = 0, title: str = "zero-shot"
    ) -> dict[str, Tensor]:
        """The hits of a model, from the pictures that `fsynth.evaluation.evaluate` has encoded already.

        Raises:
            DataError: a picture from elsewhere that cannot be read, a worker that was killed.
        """
        with evaluation.judged(model):
            told = zero_shot.tell(model, found.pictures, self.attributes)
            if self.elsewhere is not None:
                pictures = evaluation.encode(self.elsewhere.shown(model.transform()), model, workers, title)
                told |= zero_shot.tell(model, pictures, [self.elsewhere.task()])
        return told

    def record(self, models: Mapping[str, Hits]) -> dict[str, Any]:
        """For scores.json: `fsynth.zero_shot.record`, and where the pictures from elsewhere come from."""
        found = zero_shot.record(self.tasks, models)
        return found if self.elsewhere is None else {**found, "elsewhere": self.elsewhere.describe()}
