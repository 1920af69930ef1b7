"""Why this clip? One page about one held-out clip of a finished run (`merclip why`).

Its frames and sentence, what was predicted and by how much, where and when its movement spoke for
that class, and the training clips to which the network finds it most alike. On SynthME the true
motion stands beside the relevance. Not in the paper.
"""

import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
import torch.nn.functional as F

from merclip_lib import figures
from merclip_lib.augment import centre_crop
from merclip_lib.data.store import ClipStore, open_store
from merclip_lib.explain import pointing
from merclip_lib.explain.embeddings import embed, similarity
from merclip_lib.explain.relevance import held_out_video, motion_relevance
from merclip_lib.files import write_bytes, write_text
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.overview import differs
from merclip_lib.runs.store import Run, read_record
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.transfer import NETWORK

PAGE = Template(Path(__file__).with_name("why.html").read_text(encoding="utf-8"))
NEAREST = 5
STEPS = 32  # of the relevance; see `motion_relevance`
SIDE = 200  # pixels of a picture in the GIF
CHANGED = "code, weights or words were changed since this run, and its network is asked with these"


@dataclass(frozen=True)
class ClipView:
    """What a run's network makes of one clip that it has not been trained on.

    Attributes:
        clip: the clip's row of the table.
        fold: the one that held it out.
        scores: class -> probability, as the run predicted.
        frames: (T, H, W, 3) uint8, as the network saw them.
        maps: name -> (t, g, g): "relevance", signed, of the movement for the predicted class, and
            on SynthME "true motion", the displacement.
        sentences: [sentence, cosine] of the task's sentences, nearest first; empty without text.
        nearest: rows of the training clips with the largest `cosine`.
    """

    clip: pd.Series
    fold: Fold
    scores: pd.Series
    frames: np.ndarray
    maps: dict[str, np.ndarray]
    sentences: pd.DataFrame
    nearest: pd.DataFrame


def clip_page(run: Run, clip_id: str, store: ClipStore | None = None) -> Path:
    """Write `why/<clip>.html`, which stands alone, and `why/<clip>.gif` into the run's folder.

    Args:
        run: a finished run that kept its networks.
        clip_id: of a clip that it predicted, or the beginning of one.
        store: its clips; None opens the folder that the run has noted.

    Returns:
        The page.

    Raises:
        ValueError: there is no such clip, no network, or another store.
    """
    noted = read_record(run.folder)["data"].get("folder", run.folder.parent / "synthme")
    if store is None and not Path(noted).is_dir():
        raise ValueError(f"{noted}: the clips of run {run.hash} are gone; say where: --store DIR")
    plan = RunPlan(run.config, store or open_store(noted))
    view = clip_view(run, plan, clip_id)
    page = run.folder / "why" / (re.sub(r"[^\w.-]", "_", view.clip["clip_id"]) + ".html")
    shown = [figures.heated(view.frames, each) for each in _shown(view).values()]
    gif = figures.gif(np.concatenate([view.frames, *shown], axis=2), 120, SIDE)
    write_bytes(page.with_suffix(".gif"), gif)
    parts = _words(run, plan, view) | _pictures(plan, view) | {"gif": figures.embedded(gif, "gif")}
    write_text(page, PAGE.substitute(parts))
    return page


def clip_view(run: Run, plan: RunPlan, clip_id: str) -> ClipView:
    """Ask the network of the fold that held a clip out; arguments and errors as `clip_page`."""
    known = run.predictions.set_index("clip_id")
    begins = [name for name in known.index if name.startswith(clip_id)]
    if len(begins) != 1 and clip_id not in begins:
        count, names = f"{len(begins)} clips of run {run.hash}", run.folder / "predictions.csv"
        raise ValueError(f"{count} begin with {clip_id!r}; {names} has their names")
    name = clip_id if clip_id in begins else begins[0]
    if plan.data_hash != (wanted := read_record(run.folder)["data"]["hash"]):
        theirs = f"not the clips of run {run.hash}; name theirs ({wanted})"
        raise ValueError(f"{plan.store.folder}: {theirs}")
    position = plan.table["clip_id"].tolist().index(name)
    fold = next(fold for fold in plan.folds if position in fold.test)
    model, cpu = _network(run, plan, fold), replace(run.config, device="cpu")
    dataset = plan.dataset(np.array([position]))
    maps = {"relevance": motion_relevance(model, held_out_video(dataset, cpu), None, STEPS)[0]}
    z = embed(model, dataset, config=cpu)[0]
    cosine = similarity(z, embed(model, plan.dataset(fold.train), config=cpu)[0])[0]
    order = np.argsort(-cosine)[:NEAREST]
    if plan.store.motion is not None and run.config.crop == 1:  # known for whole pictures
        rows = plan.table.index[[position]]
        maps["true motion"] = pointing.true_motion(plan.store, rows, run.config.frames)[0]
    scores = known.loc[name, [f"p_{emotion}" for emotion in plan.classes]]
    return ClipView(
        plan.table.iloc[position],
        fold,
        scores.set_axis(plan.classes).astype(float),
        centre_crop(dataset[0]["video"].movedim(3, 1), run.config.crop).movedim(1, 3).numpy(),
        maps,
        _sentences(plan, z),
        plan.table.iloc[fold.train[order]].assign(cosine=cosine[order]),
    )


def _network(run: Run, plan: RunPlan, fold: Fold) -> MERCLIP:
    """The trained network of a fold."""
    path = run.folder / fold.name / NETWORK
    if not path.is_file():
        remedy = "run it again with keep_network=True, and its folds are trained once more"
        raise ValueError(f"{path}: this run kept no networks; {remedy}")
    model = plan.network()
    model.load_state_dict(read_weights(path)[0])
    return model.eval()


def _sentences(plan: RunPlan, z: np.ndarray) -> pd.DataFrame:
    """The task's sentences by their cosine to a clip z (1, E); none where the run has no text."""
    if plan.text is None:
        return pd.DataFrame(columns=["sentence", "cosine"])
    number = plan.text.description[plan.table.index]
    said = dict(zip(number.tolist(), plan.sentences.plain, strict=True))
    bank = F.normalize(plan.text.embeddings.mean(1), dim=-1).numpy()[list(said)]
    table = pd.DataFrame({"sentence": said.values(), "cosine": similarity(z, bank)[0]})
    return table.sort_values("cosine", ascending=False, ignore_index=True)


def _words(run: Run, plan: RunPlan, view: ClipView) -> dict[str, str]:
    """What the page says, in HTML."""
    clip, best, truth = view.clip, view.scores.idxmax(), view.clip["label"]
    position = plan.table.index.get_loc(clip.name)
    own, people = plan.sentences.plain[position], plan.people
    right = f"but the annotation says <b>{escape(truth)}</b> ({view.scores[truth]:.2f})."
    right = "which is right." if best == truth else right
    known = people[position] in people[view.fold.train]
    never = "has been trained on other clips of" if known else "has never seen"
    relevance, settings = view.maps["relevance"], differs(run.config) or "all at their defaults"
    stamps = [read_record(run.folder).get("stamp"), CHANGED * (plan.hash != run.hash)]
    return {
        "title": escape(clip["clip_id"]),
        "stamp": escape("; ".join(filter(None, stamps))),
        "verdict": f"<b>{escape(best)}</b> ({view.scores[best]:.2f}), {right}",
        "seen": f"It {never} this person ({escape(clip['subject'])}).",
        "units": escape(clip["action_units"]) or "none coded",
        "sentence": escape(own),
        "run": escape(f"{run.hash}, fold {view.fold.name}; settings: {settings}"),
        "class": escape(best),
        "bars": "".join(_bar(name, p, name == truth) for name, p in view.scores.items()),
        "for": f"{np.maximum(relevance, 0).sum():+.2f}",
        "against": f"{np.minimum(relevance, 0).sum():+.2f}",
        "sum": f"{relevance.sum():+.2f}",
        "motion": _hit(view),
        "panels": ", ".join(["clip", *view.maps]),
        "sentences": _nearest_sentences(view, own),
        "same": f"{(view.nearest['label'] == truth).sum()} of {len(view.nearest)}",
        "ids": escape(", ".join(view.nearest["clip_id"])),
    }


def _bar(name: str, p: float, true: bool) -> str:
    """A class with its probability, as a row of a table."""
    row = f'<th>{escape(name)}</th><td><i style="width:{16 * p:.2f}em"></i> {p:.2f}</td>'
    return f"<tr{' class=true' * true}>{row}"


def _hit(view: ClipView) -> str:
    """Whether the relevance lies where the face truly moved, where that is known."""
    motion, positive = view.maps.get("true motion"), np.maximum(view.maps["relevance"], 0)[None]
    if motion is None or not motion.any():
        return ""
    region = pointing.moving_region(motion[None])
    lies = "lies" if pointing.pointing_game(positive, region)[0] else "does not lie"
    share = pointing.energy_in_region(positive, region)[0]
    chance = f"{region.mean():.0%}, the share of patches that moved more than half of the farthest"
    does = f"{share:.0%} of the relevance does; chance would be {chance}."
    return f"The most relevant patch {lies} where the face truly moved, and {does}"


def _nearest_sentences(view: ClipView, own: str) -> str:
    """The first sentences, and where the clip's own comes."""
    if view.sentences.empty:
        return "<p>This run was trained without sentences.</p>"
    rows = list(view.sentences.itertuples(index=False))
    mark = {own: " class=true"}
    items = [f"<li{mark.get(said, '')}>{escape(said)} ({cosine:.2f})" for said, cosine in rows[:3]]
    rank = [said for said, _ in rows].index(own) + 1
    head = f"Nearest sentences (cosine); the clip's own comes as number {rank} of {len(rows)}."
    return f"<p>{head}</p><ol>{''.join(items)}</ol>"


def _shown(view: ClipView) -> dict[str, np.ndarray]:
    """The positive part of each map, at every frame (T, g, g)."""
    maps, at = view.maps, np.arange(len(view.frames))
    return {name: np.maximum(maps[name], 0)[at * len(maps[name]) // len(at)] for name in maps}


def _pictures(plan: RunPlan, view: ClipView) -> dict[str, str]:
    """The figures of the page."""
    step, maps = -(-len(view.frames) // len(view.maps["relevance"])), _shown(view)
    frames = view.frames[::step]
    times = [f"time {k + 1}" for k in range(len(frames))]
    faces = np.stack([frames] * len(maps))
    heats = np.stack([each[::step] for each in maps.values()])
    rows = [name.replace(" ", "\n") for name in maps]
    clips = plan.table.loc[[view.clip.name, *view.nearest.index]]
    cosines = ["this clip", *(f"{cosine:.2f}" for cosine in view.nearest["cosine"])]
    about = zip(cosines, clips["label"], clips["action_units"], strict=True)
    share = (clips["apex"] - clips["onset"]) / (clips["offset"] - clips["onset"]).clip(lower=1)
    last = plan.store.frames.shape[1] - 1
    at = (last * share.fillna(1).astype(float)).round().astype(int)  # without an apex the last
    onset, apex = (plan.store.frames[clips.index, k] for k in (0, at))
    drawn = {
        "strip": figures.clip_strip(frames, dict(enumerate(times)), ""),
        "overlay": figures.relevance_overlay(faces, heats, times, rows, ""),
        "nearest": figures.montage(onset, apex, list(map("\n".join, about)), ""),
    }
    return {name: figures.embedded(figures.png(figure)) for name, figure in drawn.items()}
