"""What people do with a trained model: captions to images, maps and redescriptions."""
