"""WiSE-FT in a run: every blend judged on validation rows, the best one put into the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from fsynth import evaluation, outputs, plots, score_names, score_table, wise_ft
from fsynth.clip_model import ClipModel
from fsynth.clip_validation import LEAST_ROWS, mean_group_recall
from fsynth.console import say
from fsynth.exam import Exam
from fsynth.gallery import Gallery
from fsynth.wise_ft import Blend
from fsynth.zero_shot import Task

OF_LABELS = "labels, mean"
"""What is called retention where nothing from elsewhere is asked."""


class Blending:
    """Made before training: it keeps a copy of the weights, the only one that takes memory.

    Args:
        shares: of the weights after fine-tuning, to try.
        gallery: validation rows, on which the blend is chosen.
        exam: what the blends are asked to tell, about the rows of ``gallery`` and pictures from elsewhere.
    """

    def __init__(
        self, model: ClipModel, shares: Sequence[float], gallery: Gallery, exam: Exam, workers: int = 0
    ) -> None:
        self.model, self.shares, self.gallery, self.exam = model, shares, gallery, exam
        self.workers = workers
        self.before = wise_ft.copied(model.network)

    def _kept(self) -> Sequence[Task]:
        """The tasks that the retention is of."""
        return self.exam.tasks[-1:] if self.exam.elsewhere else self.exam.tasks

    @property
    def retention(self) -> str:
        """What the retention is the accuracy of."""
        return OF_LABELS if self.exam.elsewhere is None else self.exam.elsewhere.name

    def settle(self, run: Path) -> Blend:
        """Make the network the blend that is best on the validation rows; say and write what was found.

        Writes RUN/wise_ft.json and, where there is a retention, RUN/wise-ft.png.

        Raises:
            ModelError: weights of another architecture than before training.
            DataError: a picture that cannot be read, a worker that was killed.
        """
        network, file = self.model.network, run / ".fine-tuned.pt"
        try:
            after = wise_ft.on_disk(network, file)
            found = wise_ft.sweep(network, self.before, after, self.shares, self._judge)
            chosen = wise_ft.choose(found)
            wise_ft.blend(network, self.before, after, chosen.share)
        finally:
            file.unlink(missing_ok=True)
        self._say(found, chosen)
        self._write(found, run)
        return chosen

    def _judge(self, share: float) -> Blend:
        title = f"blend {share:g}"
        found = evaluation.evaluate(self.gallery, self.model, self.workers, title)
        hits = self.exam.take(self.model, found, self.workers, f"{title}, zero-shot")
        told = {name: float(one.mean()) for name, one in hits.items()}
        kept = [told[task.name] for task in self._kept()]
        group = found.scores["group"]
        recall_at_1 = fmean(group[way]["recall@1"] for way in score_names.DIRECTIONS)
        return Blend(share, mean_group_recall(found.scores), recall_at_1, fmean(kept) if kept else None, told)

    def _say(self, found: Sequence[Blend], chosen: Blend) -> None:
        say(
            f"\nblends of the weights before (a = 0) and after (1), on {len(self.gallery.rows):,} validation "
            f"pairs; the best mean group recall is taken (WiSE-FT)\n"
            f"{score_table.blends(found, self.retention)}"
        )
        if len(self.gallery.rows) < LEAST_ROWS:
            say(
                f"note: {len(self.gallery.rows)} validation pairs are few to choose a blend by; "
                "--val-fraction and validation.rows set more aside"
            )
        if layers := wise_ft.running_statistics(self.model.network):
            say(
                f"note: the running statistics of {layers} batch-normalising layers are blended, too; "
                "training left them as they were"
            )

    def _write(self, found: Sequence[Blend], run: Path) -> None:
        outputs.write_json(run / wise_ft.FILE, wise_ft.record(found, len(self.gallery.rows), self.retention))
        points = [(one.share, one.retention, one.recall) for one in found if one.retention is not None]
        if not points:
            return
        figure = plots.trade_off(
            points,
            wise_ft.choose(found).share,
            fmean(task.chance for task in self._kept()),
            f"{self.retention}, % told right by name",
            "mean group recall of the validation pairs, %",
        )
        outputs.write_file(run / wise_ft.PLOT, lambda beside: figure.savefig(beside, format="png"))
