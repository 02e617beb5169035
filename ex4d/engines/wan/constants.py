"""The model's fixed numbers and words. Imports nothing, so that descriptions work where nothing is installed."""

SPATIAL = 8
"""Pixels per latent along each side."""
TEMPORAL = 4
"""Frames per latent after the first."""
SIDE = 16
"""Sides must be multiples of this: a latent, then a 2x2 patch of latents."""
WINDOW = 49
"""Frames the model was trained on."""
TURBO_STEPS = 4

PROMPT = "4K ultra HD, surround motion, realistic tone, panoramic shot, wide-angle view, cinematic quality"
NEGATIVE_PROMPT = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
    "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn "
    "hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy background, "
    "three legs, many people in the background, walking backwards"
)
