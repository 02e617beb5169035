"""Training EX-4D's LoRA and geometry encoder on ordinary clips with simulated masks. See ``docs/training.md``."""
