"""Video files: ffmpeg behind `ffmpeg.py`, PyAV behind `probing.py`."""
