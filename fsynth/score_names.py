"""What retrieval scores are called, in code, in scores.json and in reports; what each is is said in
`fsynth.retrieval` and `fsynth.ceilings`."""

from __future__ import annotations

AT = (1, 5, 10)
"""The k of recall at k."""

PROTOCOLS = ("group", "sentence", "pair")
DIRECTIONS = ("text_to_image", "image_to_text")
SCORES = (
    *(f"recall@{k}" for k in AT),
    *(f"true_recall@{k}" for k in AT),
    "mrr",
    "map",
    "median_rank",
    "mean_rank",
)

IDEALS = ("ceiling", "attributes", "frequencies", "chance")
COMPARED_WITH = {
    "group": dict.fromkeys(DIRECTIONS, "ceiling"),
    "sentence": {"text_to_image": "attributes", "image_to_text": "frequencies"},
    "pair": dict.fromkeys(DIRECTIONS, "attributes"),
}
"""What each score is to be held against: the most that can be asked of a model that sees what sentences say.
Wording is no property of a picture."""


def limit_name(ideal: str, score: str) -> str:
    """What an ideal's score is called: that of recall@5 is ``ceiling@5``, others keep their name before it.

    >>> limit_name("ceiling", "recall@5"), limit_name("chance", "true_recall@1"), limit_name("chance", "mrr")
    ('ceiling@5', 'true_recall_chance@1', 'mrr_chance')
    """
    head, at, k = score.partition("@")
    return f"{ideal if head == 'recall' else f'{head}_{ideal}'}{at}{k}"
