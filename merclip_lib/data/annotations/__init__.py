"""From the annotation files of published data sets to a clip table."""
