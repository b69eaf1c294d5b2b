"""Looking at frames: ONNX models, and what is made of their answers."""
