"""MER-CLIP: micro-expressions recognised with the help of sentences about action units.

Rooms, named after the steps of the method; read them from the top:

    config, recipes     every hyper-parameter; the values of each task
    text                an annotation such as `4+7+L10`, its sentence, its embedding
    augment             LocalStaticFaceMix, crop, flip, jitter
    model               the network: `plain` as the paper draws it, and its fast equal
    data, synthme       clip tables and stores; the faces that we draw
    weights             weights files, ours and published ones
    training, protocol  one training; leave one subject out
    runs, scores        what a run leaves behind; pooled figures with intervals
    explain, figures    what the network looks at; pictures
    study, cli          notebooks through papermill; the command line
    files, workers      files written whole; processes that end with their parent
    progress            what a long computation says while it works

The `__init__` of a room lists what a notebook may import from it. Importing the package or a room
loads neither torch nor pandas nor matplotlib: a name loads what it needs when it is first used.
"""

import time

__version__ = "0.2.0"
IMPORTED = time.time()  # what is edited later may not be what runs, see `runs.code`
