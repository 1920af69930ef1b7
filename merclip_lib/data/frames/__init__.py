"""From video files and folders of pictures to aligned clips."""
