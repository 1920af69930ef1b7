"""What a trained network makes of a clip: sentences, action units, emotion, relevance.

The clip is cut at the proposed onset and offset, because the network has only ever seen clips that
begin and end there.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from merclip_lib.augment import centre_crop
from merclip_lib.config import stored_side
from merclip_lib.data.dataset import uniform_sample
from merclip_lib.data.frames.decode import crop_centre
from merclip_lib.data.prompts import read_prompts
from merclip_lib.explain.embeddings import similarity
from merclip_lib.explain.relevance import motion_relevance
from merclip_lib.explain.sentences import sentence_embeddings
from merclip_lib.look.face import Aligned
from merclip_lib.look.network import Network
from merclip_lib.look.spotting import Interval
from merclip_lib.synthme.action_units import UNITS
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.text.sentences import describe
from merclip_lib.training.batches import NORMALISATIONS, normalise

NEAREST = 5  # sentences told


@dataclass(frozen=True)
class Reading:
    """What a network says of a clip.

    Attributes:
        sentences: annotation, sentence and cosine of the nearest sentences, nearest first.
        units: unit, phrase and score of each action unit, highest first. The score is the cosine
            with the unit's sentence less that of the still clip: what the movement did.
        emotions: name -> probability, most probable first.
        relevance: (t, g, g), how much the movement of each patch moved the answer.
        pictures: (t, H, W, 3), what the network sees of the frames at its time positions.
    """

    sentences: pd.DataFrame
    units: pd.DataFrame
    emotions: dict[str, float]
    relevance: np.ndarray
    pictures: np.ndarray


class Reader:
    """A network with its sentences encoded once, so that clip after clip can be read.

    Args:
        network: as `load_network` gives it.
    """

    def __init__(self, network: Network):
        self.network, self.size = network, network.model.vision_encoder.size
        self.sentences = sorted(plan_population(EXAMPLE)["true_action_units"].unique())
        self.units = [str(unit) for unit in UNITS]
        self.bank = sentence_embeddings(network.config, [*self.sentences, *self.units])

    def video_of(self, frames: np.ndarray) -> torch.Tensor:
        """Frames (T, H, W, 3) uint8, onset to offset, as the network sees them: normalised."""
        config = self.network.config
        chosen = frames[uniform_sample(len(frames), config.frames, short=config.short_clips)]
        clip = torch.from_numpy(np.stack([crop_centre(f, stored_side(config)) for f in chosen]))
        video = normalise(clip[None], *NORMALISATIONS[config.normalisation]).transpose(1, 2)
        return centre_crop(video, config.crop)

    @torch.no_grad()
    def scores(self, frames: np.ndarray) -> tuple[pd.Series, pd.Series]:
        """Probability of each emotion, and score of each action unit (see `Reading`)."""
        video = self.video_of(frames)
        both = torch.cat([video, video[:, :, :1].expand_as(video)])  # the clip and the still clip
        output = self.network.model(both)
        moving, still = similarity(output.z.numpy(), self.bank[len(self.sentences) :])
        emotions = output.logits[0].softmax(-1).tolist()
        return pd.Series(emotions, self.network.classes), pd.Series(moving - still, self.units)

    def read(self, aligned: Aligned, interval: Interval | None) -> Reading:
        """Read an aligned clip from onset to offset, or all of it where nothing was spotted."""
        times = aligned.times
        first, last = (interval.onset, interval.offset) if interval else (times[0], times[-1])
        frames = aligned.frames[(times >= first) & (times <= last)]
        video, config = self.video_of(frames), self.network.config
        with torch.no_grad():
            z = self.network.model(video).z.numpy()
        own = read_prompts(config.phrases, config.templates)[0]
        said = [describe(each, config.description, "-", phrases=own) for each in self.sentences]
        nearest = pd.DataFrame({"annotation": self.sentences, "sentence": said})
        nearest["cosine"] = similarity(z, self.bank[: len(said)])[0]
        emotions, scores = self.scores(frames)
        phrases = [describe(unit) for unit in self.units]
        units = pd.DataFrame({"unit": self.units, "phrase": phrases, "score": scores.to_numpy()})
        at = uniform_sample(len(frames), config.frames, short=config.short_clips)
        pictures = torch.from_numpy(frames[at[:: len(at) // self.size.times]]).movedim(3, 1)
        return Reading(
            nearest.nlargest(NEAREST, "cosine").reset_index(drop=True),
            units.sort_values("score", ascending=False, ignore_index=True),
            emotions.sort_values(ascending=False).to_dict(),
            np.abs(motion_relevance(self.network.model, video)[0]),
            centre_crop(pictures, config.crop).movedim(1, 3).numpy(),
        )
