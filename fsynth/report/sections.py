"""The sections of a report, in their order on the page.

A section is a function from a folder to a `Section`, or to None where the folder holds nothing for it: files
choose sections, so results from anywhere can be shown. A new section is one such function, named here.
"""

from __future__ import annotations

from fsynth.report.data_labels import data_labels, division, together
from fsynth.report.data_overview import data, findings
from fsynth.report.data_pictures import examples, means, repeated, sizes
from fsynth.report.data_sentences import sentences
from fsynth.report.labels import labels
from fsynth.report.pictures import before_after, pictures, scores
from fsynth.report.retrieval import retrieval
from fsynth.report.retrieval_sheets import alike, sheets
from fsynth.report.thumbnails import training_pictures
from fsynth.report.training import losses, settings
from fsynth.report.wise_ft import blends
from fsynth.report.zero_shot import abilities

SECTIONS = (
    data,
    findings,
    examples,
    data_labels,
    together,
    division,
    sentences,
    means,
    sizes,
    repeated,
    labels,
    retrieval,
    sheets,
    alike,
    abilities,
    blends,
    before_after,
    pictures,
    scores,
    losses,
    training_pictures,
    settings,
)
