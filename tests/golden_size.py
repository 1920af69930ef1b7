"""The size of the small network behind the golden vectors: not a test."""

from merclip_lib.config import ModelSize

SMALL = ModelSize(
    resolution=32,
    patch=8,
    frames=8,
    width=48,
    layers=4,
    heads=4,
    embed_dim=32,
    token_dim=32,
    global_layers=(1, 2, 3),
    mlp_dropout=0.0,
    text_width=32,
    text_layers=3,
    text_heads=2,
)
