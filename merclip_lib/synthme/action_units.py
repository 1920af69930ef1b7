"""What each action unit does to a drawn face: a table, `action_units.yaml`."""

from pathlib import Path
from typing import Any

import yaml

_TABLE = Path(__file__).with_name("action_units.yaml")
ACTION_UNITS: dict[int, dict[str, Any]] = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))

UNITS = tuple(ACTION_UNITS)  # all that a face can show
SIDED = (1, 2, 4, 6, 7, 9, 10, 12, 14, 15)  # those that also occur on one side only
