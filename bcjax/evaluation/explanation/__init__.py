"""What an answer of a network rests on: Grad-CAM, integrated gradients, occlusion."""
