"""DepthCrafter on diffusers' Stable Video Diffusion parts (research only). Needs the 'depth' extra to run."""
