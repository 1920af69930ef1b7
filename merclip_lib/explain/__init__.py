"""What a trained network looks at, and whether it is where the face moves (paper, visualisation).

`relevance` and `rollout` make maps, `maps` all kinds of them, `pointing` compares them with true
motion, `embeddings` and `sentences` look at clip vectors, `why` writes a page about one clip. A
notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "embeddings": "alike_neighbours embed emotion_tokens knn_purity similarity tsne".split(),
        "maps": ["relevance_maps"],
        "pointing": (
            "answer_agreement answer_localisation answer_pictured energy_in_region localisation "
            "localisation_claims moving_region pointing_game true_motion"
        ).split(),
        "relevance": (
            "frame_difference freeze_drop grad_cam held_out_video input_gradient "
            "motion_relevance token_relevance"
        ).split(),
        "rollout": ["attention_rollout"],
        "sentences": (
            "au_readout counterfactuals prefers_truth rank_of_sentence retrieval_within "
            "sentence_embeddings"
        ).split(),
        "why": ["clip_page"],
    },
)
