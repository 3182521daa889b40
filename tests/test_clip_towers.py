"""The levels of every kind of tower, by names that are written out."""

import pytest
import torch

from fsynth import clip_towers
from fsynth.errors import ModelError
from tests import tower_kinds

BLOCKS = {
    ("vit", "image"): ["visual.transformer.resblocks.0.attn.in_proj_weight"],
    ("vit", "text"): ["transformer.resblocks.0.ln_1.weight"],
    ("resnet", "image"): [
        "visual.layer1.0.conv1.weight",
        "visual.layer2.0.bn1.bias",
        "visual.layer2.1.conv3.weight",
    ],
    ("resnet", "text"): ["text.transformer.resblocks.0.mlp.c_fc.bias"],
    ("timm", "image"): ["visual.trunk.blocks.0.attn.qkv.weight"],
    ("hf", "text"): ["text.transformer.encoder.layer.0.attention.self.query.weight"],
}
ENDS = {
    ("vit", "image"): (
        ["visual.conv1.weight", "visual.positional_embedding"],
        ["visual.proj", "visual.ln_post.bias"],
    ),
    ("vit", "text"): (
        ["token_embedding.weight", "positional_embedding"],
        ["text_projection", "ln_final.weight"],
    ),
    ("resnet", "image"): (["visual.conv3.weight", "visual.bn1.bias"], ["visual.attnpool.c_proj.weight"]),
    ("resnet", "text"): (["text.token_embedding.weight"], ["text.text_projection", "text.ln_final.bias"]),
    ("timm", "image"): (["visual.trunk.pos_embed"], ["visual.trunk.norm.weight", "visual.head.proj.weight"]),
    ("hf", "text"): (["text.transformer.embeddings.word_embeddings.weight"], ["text.proj.weight"]),
}


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
def test_every_parameter_of_a_tower_has_a_level(kind, tmp_path):
    network = tower_kinds.make(kind, tmp_path)
    places = clip_towers.places(network)
    assert set(dict(network.named_parameters())) - set(places) == {"logit_scale"}
    for tower in clip_towers.TOWERS:
        own = [place for place in places.values() if place.tower == tower]
        assert {place.level for place in own} == set(range(own[0].blocks + 2))
        for level, name in enumerate(BLOCKS.get((kind, tower), []), 1):
            assert places[name].level == level and places[name].in_block, name
        bottom, top = ENDS.get((kind, tower), ([], []))
        assert all(places[name].level == 0 for name in bottom)
        assert all(places[name].depth == 0 for name in top)


def test_blocks_are_counted_through_the_stages_of_a_resnet(tmp_path):
    places = clip_towers.places(tower_kinds.make("resnet", tmp_path))
    assert places["visual.layer4.0.conv1.weight"].level == places["visual.layer4.0.conv1.weight"].blocks == 5


def test_towers_are_named_by_the_model_inside(tmp_path):
    network = tower_kinds.make("hf", tmp_path)
    assert clip_towers.kind(network, "image") == "VisionTransformer"
    assert clip_towers.kind(network, "text") == "BertModel"


def test_a_tower_of_an_unknown_kind_is_refused_by_name(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    network.visual = torch.nn.Linear(3, 3)
    with pytest.raises(ModelError, match=r"the image tower \(Linear\) has no blocks that are known here"):
        clip_towers.places(network)
