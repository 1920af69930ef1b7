"""From an annotation such as `4+7+L10` to an encoded sentence (paper, AU-to-text step).

`facs` reads the annotation, `sentences` says it in words, `bank` encodes every sentence once with
the frozen text tower. A notebook may use the names below; they load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "facs": ["MUSCLES", "NAMES", "ActionUnit", "parse", "swap_sides"],
        "sentences": ["PHRASES", "STYLES", "TEMPLATES", "describe"],
        "unit_labels": ["unit_table"],
        "bank": ["TextBank", "build_text_bank", "text_tower", "tokenizer"],
    },
)
