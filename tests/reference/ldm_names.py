"""The weights of the original Stable Diffusion networks, written down as their constructors build them: slow,
obvious, and from the other side (no diffusers module is asked)."""

from __future__ import annotations

from collections.abc import Iterator

BOTH = ("weight", "bias")


def unet(
    widths: list[int], blocks: int, attention: set[int], depths: list[int], *, label: bool = False
) -> set[str]:
    """Names of a UNet's weights.

    Args:
        widths: channels by level of resolution, in multiples of the first's.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention: levels with transformers.
        depths: transformer blocks by level.
        label: whether it is told of sizes, as XL is.
    """
    names = set(_both("time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"))
    if label:
        names |= set(_both("label_emb.0.0", "label_emb.0.2"))
    number, here = 1, widths[0]
    for level, width in enumerate(widths):
        for _ in range(blocks):
            names |= _resnet(f"input_blocks.{number}.0", here != width)
            if level in attention:
                names |= _transformer(f"input_blocks.{number}.1", depths[level])
            here, number = width, number + 1
        if level < len(widths) - 1:
            names |= set(_both(f"input_blocks.{number}.0.op"))
            number += 1
    names |= _resnet("middle_block.0", False) | _resnet("middle_block.2", False)
    names |= _transformer("middle_block.1", depths[-1])
    number = 0
    for level in reversed(range(len(widths))):
        for at in range(blocks + 1):
            names |= _resnet(f"output_blocks.{number}.0", True)  # it takes a skip, too, so widths differ
            if level in attention:
                names |= _transformer(f"output_blocks.{number}.1", depths[level])
            if level and at == blocks:
                names |= set(_both(f"output_blocks.{number}.{2 if level in attention else 1}.conv"))
            number += 1
    return names


def _resnet(place: str, changes_width: bool) -> set[str]:
    parts = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    parts += ["skip_connection"] if changes_width else []
    return set(_both(*(f"{place}.{part}" for part in parts)))


def _transformer(place: str, depth: int) -> set[str]:
    names = set(_both(f"{place}.norm", f"{place}.proj_in", f"{place}.proj_out"))
    for at in range(depth):
        block = f"{place}.transformer_blocks.{at}"
        names |= set(_both(f"{block}.ff.net.0.proj", f"{block}.ff.net.2"))
        names |= set(_both(*(f"{block}.norm{one}" for one in (1, 2, 3))))
        for one in (1, 2):
            names |= {f"{block}.attn{one}.{part}.weight" for part in ("to_q", "to_k", "to_v")}
            names |= set(_both(f"{block}.attn{one}.to_out.0"))
    return names


def autoencoder(widths: list[int], blocks: int) -> set[str]:
    """Names of an autoencoder's weights.

    Args:
        widths: channels by level.
        blocks: residual blocks a level of the encoder; the decoder has one more.
    """
    names = set(_both("quant_conv", "post_quant_conv"))
    for side, count in (("encoder", blocks), ("decoder", blocks + 1)):
        names |= set(_both(*(f"{side}.{part}" for part in ("conv_in", "norm_out", "conv_out"))))
        names |= _plain(f"{side}.mid.block_1", False) | _plain(f"{side}.mid.block_2", False)
        names |= set(_both(*(f"{side}.mid.attn_1.{part}" for part in ("norm", "q", "k", "v", "proj_out"))))
        levels = range(len(widths)) if side == "encoder" else reversed(range(len(widths)))
        here = widths[0] if side == "encoder" else widths[-1]
        for level in levels:
            for at in range(count):
                place = f"{side}.{'down' if side == 'encoder' else 'up'}.{level}.block.{at}"
                names |= _plain(place, here != widths[level])
                here = widths[level]
            if side == "encoder" and level < len(widths) - 1:
                names |= set(_both(f"encoder.down.{level}.downsample.conv"))
            if side == "decoder" and level:
                names |= set(_both(f"decoder.up.{level}.upsample.conv"))
    return names


def _plain(place: str, changes_width: bool) -> set[str]:
    parts = ["norm1", "conv1", "norm2", "conv2"] + (["nin_shortcut"] if changes_width else [])
    return set(_both(*(f"{place}.{part}" for part in parts)))


def clip(layers: int) -> set[str]:
    """Of OpenAI's text encoder, as transformers named it."""
    names = {"embeddings.token_embedding.weight", "embeddings.position_embedding.weight"}
    names |= set(_both("final_layer_norm"))
    for at in range(layers):
        parts = ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
        parts += [f"self_attn.{one}_proj" for one in ("q", "k", "v", "out")]
        names |= set(_both(*(f"encoder.layers.{at}.{part}" for part in parts)))
    return {f"text_model.{name}" for name in names}


def open_clip(layers: int, projection: bool) -> set[str]:
    """Of open_clip's text encoder."""
    names = {"token_embedding.weight", "positional_embedding"} | set(_both("ln_final"))
    names |= {"text_projection"} if projection else set()
    for at in range(layers):
        place = f"transformer.resblocks.{at}"
        names |= {f"{place}.attn.in_proj_weight", f"{place}.attn.in_proj_bias"}
        parts = ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
        names |= set(_both(*(f"{place}.{part}" for part in parts)))
    return names


def _both(*modules: str) -> Iterator[str]:
    return (f"{module}.{kind}" for module in modules for kind in BOTH)
