"""What models are asked to tell: the labels of the held-out pictures, and classes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fsynth import attribute_tasks, evaluation, score_table, zero_shot
from fsynth.class_pictures import ClassPictures
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison
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


@dataclass
class SideBySide:
    """Models on one gallery: what each of them retrieves and tells, in the order in which they are judged.

    Attributes:
        found: name -> what the model retrieves.
        told: name -> what it tells right.
    """

    gallery: Gallery
    exam: Exam
    workers: int = 0
    found: dict[str, Evaluation] = field(default_factory=dict)
    told: dict[str, Hits] = field(default_factory=dict)

    def judge(self, name: str, model: ClipModel) -> None:
        """Evaluate a model, on its device.

        Raises:
            DataError: a picture that cannot be read, a worker that was killed.
            ScoreError: features that are not numbers.
        """
        title = name[-30:]
        self.found[name] = evaluation.evaluate(self.gallery, model, self.workers, f"evaluating {title}")
        self.told[name] = self.exam.take(model, self.found[name], self.workers, f"zero-shot {title}")

    def comparisons(self) -> tuple[Comparison, ...]:
        """Every further model against the first, by what it retrieves."""
        return evaluation.comparisons(self.gallery, self.found)

    def lost(self) -> str:
        """One line of what the last model is shown to tell worse than the first; nothing where nothing is."""
        last = list(self.found)[-1]
        found = zero_shot.changes(self.exam.tasks, self.told)
        worse = [one for one in found if one.model == last and one.verdict == "worse"]
        if not worse:
            return ""
        shares = (f"{one.task} {one.baseline_accuracy:.1%} -> {one.model_accuracy:.1%}" for one in worse)
        return f"{last} tells WORSE than {worse[0].baseline}, asked by sentences: {', '.join(shares)}"

    def record(
        self, data: str, models: Mapping[str, Mapping[str, Any]], compared: Sequence[Comparison]
    ) -> dict[str, Any]:
        """The content of scores.json; arguments as of `fsynth.evaluation.record`."""
        retrieved = evaluation.record(data, self.gallery, models, self.found, compared)
        return {**retrieved, "zero_shot": self.exam.record(self.told)}

    def tables(self, headings: Mapping[str, str] | None = None) -> str:
        """All scores as aligned text.

        Args:
            headings: name -> what stands over its column, where that is not the name.
        """
        short = {name: (headings or {}).get(name, name) for name in self.found}
        found = {short[name]: one for name, one in self.found.items()}
        told = {short[name]: hits for name, hits in self.told.items()}
        retrieved = score_table.retrieval(found)
        return f"{retrieved}\n\n{score_table.told(self.exam.tasks, told)}" if self.exam.tasks else retrieved
