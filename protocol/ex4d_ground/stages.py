"""The stages of long work, by the names that progress is reported under and that a job's share of the whole goes by.

A stage that does several things one after the other adds what it does: "loading text encoder".
"""

READING, READING_DEPTH, FILLING = "Reading video", "Reading depth", "Filling depth"
MESH, GUIDES = "mesh", "guides"
LOADING, ENCODING, DENOISING, DECODING = "loading", "encoding", "denoising", "decoding"
PREVIEW = "preview"
"""The preview engine's one stage."""
DEPTH_HAND_OVER, DEPTH_ENCODE, DEPTH_DENOISE = "depth: hand over", "depth: encode", "depth: denoise"
DEPTH_ESTIMATE, DEPTH_ALIGN, DEPTH_STEADY = "depth: estimate", "depth: align", "depth: steady"
DEPTH_FLICKER, DEPTH_EDGES, DEPTH_SAVE, DEPTH_SEND = "depth: flicker", "depth: edges", "depth: save", "depth: send"
DEPTH_MEMORY = "depth: out of memory"
"""Under which a step to a smaller plan is reported; the message says what is done."""
ASKING_HUB, FETCHING = "asking for", "fetching"
"""Of weights; the package's name follows. Counted in megabytes."""
HASHING, UPLOADING = "reading", "uploading"
"""A client's own, counted in bytes."""
PREPARING = "preparing"
"""Of compiled parts that this machine has not run before; the message says about how long."""
STARTING = "starting"
"""Of what is waited for before a live view."""
