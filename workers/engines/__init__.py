"""What draws a segment: templates of ffmpeg, a ComfyUI-shaped server, an HTTP API that sells video."""
