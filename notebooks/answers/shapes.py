"""The answers of notebook 04, the model shape by shape, each from the numbers above it."""

import torch
from IPython.display import Markdown

from merclip_lib.config import SIZES


def stem(axes):
    """Which frames a position of the stem sees, and what shape comes out."""
    return Markdown(
        f"**Answer.** Frames 1, 2 and 3: position *k* is centred on frame 2*k*. From {axes['T']} "
        f"frames come {axes['t']} positions, each of {axes['L']} patches of width {axes['D']}."
    )


def local_block(in_time, tokens_reached):
    """What a token reaches through LMHRA and through attention."""
    return Markdown(
        f"**Answer.** Through LMHRA the patch itself, at {len(in_time)} neighbouring time "
        f"positions; through attention all {tokens_reached} tokens of its own time, and no other "
        "time. A few blocks of both connect all with all."
    )


def global_block(axes, axes_of):
    """How many tokens the query of a global block reads."""
    large = axes_of(SIZES["ViT-B-16"])
    return Markdown(
        f"**Answer.** t(1 + L) = {large['t']} x {large['1+L']} = {large['t(1+L)']:,}; here "
        f"{axes['t']} x {axes['1+L']} = {axes['t(1+L)']:,}. There is one query, so attention costs "
        "as many products as there are tokens, not their square."
    )


def fusion(transformer, x, w):
    """What the fused vector o begins as."""
    mean = x[:, :, 0].mean(1)
    low, high = float(w.min()), float(w.max())
    weighed = f"{low:.3f} everywhere" if high - low < 5e-4 else f"between {low:.3f} and {high:.3f}"
    start = torch.allclose(transformer.norm(0.5 * mean), transformer.norm(mean), atol=1e-3)
    return Markdown(
        f"**Answer.** LN(mean / 2), {'the same as' if start else 'not quite'} LN(mean): a "
        "LayerNorm takes the factor away, so o begins as the mean of CLIP's class tokens. In the "
        f"weights loaded here w is {weighed}."
    )


def eim(axes):
    """How many tokens of the EIM's last layer nothing reads."""
    return Markdown(
        f"**Answer.** All but token 0: {axes['1+tL'] - 1} of {axes['1+tL']}, so they need not be "
        "computed there (appendix A)."
    )


def parameters(table):
    """Where the parameters are, and how ours differs from the paper's size."""
    paper = table["ViT-B-16"]
    tiny, large = SIZES["merclip-tiny"], SIZES["ViT-B-16"]
    return Markdown(
        "**Answer.** The global blocks: "
        f"{paper['of it global blocks'] / paper['video encoder']:.0%} of the paper's video encoder "
        f"(LMHRA: {paper['of it LMHRA'] / paper['video encoder']:.0%}). Whole parts agree with the "
        "released program to the last parameter, their parts to all published digits. Ours has "
        f"{table['merclip-tiny']['video encoder'] / paper['video encoder']:.1%} of its parameters "
        "and the same blocks. Besides its widths, it differs in how many local blocks there are "
        f"({tiny.layers}, not {large.layers}), after how many of them the query reads "
        f"({len(tiny.global_layers)}, not {len(large.global_layers)}), and in the dropout of the "
        f"global blocks ({tiny.mlp_dropout}, not {large.mlp_dropout})."
    )


def cost(percent, growth):
    """What takes the time of a step, and how the time of a study grows."""
    part, times = percent["ViT-B-16"], growth.time
    new = part[["LMHRA", "global blocks", "DPE"]]
    return Markdown(
        f"**Answer.** {part.idxmax()}: {part.max():.0f} % at the paper's size; with the attention, "
        f"CLIP's own parts take {part['MLP'] + part['attention within a time']:.0f} %. The new "
        f"modules take {new.sum():.0f} %, of it LMHRA {new['LMHRA']:.1f} %: a global block reads "
        "all tokens with one query and is almost free. Twice the clips of everyone take "
        f"{times['twice the clips of every subject']:.1f} times as long, twice the subjects "
        f"{times['twice the subjects']:.1f} times, since there are twice as many trainings on "
        f"twice as many clips; twice the frames {times['twice the frames']:.1f} times, because "
        "attention stays within a time position. The speeds in the last cell are those of one core "
        "of ours: `merclip cost` measures yours."
    )


def motion_start(motion):
    """How much of the displacement the motion start explains."""
    return Markdown(
        f"**Answer.** In people never seen the error is {motion['motion_error']:.2f} of the "
        f"variance of the displacement, so {1 - motion['motion_error']:.0%} is explained."
    )


def dfme_start(history, dfme):
    """Which loss falls first in the DFME step, and what is read afterwards."""
    half_fallen = {}
    for loss in ("align", "emotion"):
        course = history[loss]
        half_fallen[loss] = int((course <= (course.iloc[0] + course.min()) / 2).idxmax())
    align, emotion = half_fallen.values()
    first = "Neither" if align == emotion else "Alignment" if align < emotion else "Emotion"
    return Markdown(
        f"**Answer.** {first}: the alignment loss has done half of its fall in epoch {align}, the "
        f"emotion loss in epoch {emotion}. In people never seen, the network then reads the seven "
        f"emotions at UF1 {dfme['uf1']:.2f}. No person of these two steps occurs in any population "
        "of the notebooks."
    )
