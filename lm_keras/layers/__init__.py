"""What the models are made of. Layers only; the models are in lm_keras.models."""
