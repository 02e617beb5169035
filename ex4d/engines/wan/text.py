"""Prompts to embeddings, kept on disk so that the 11 GB text encoder is loaded only for a prompt never seen before."""

import hashlib
import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ex4d_ground.errors import MissingExtraError, WeightsError
from ex4d_ground.files import atomic_path
from ex4d_ground.remedies import fetch_weights

TEXT_TOKENS = 512


def clean_prompt(text: str) -> str:
    """Mended encoding and entities, single spaces: what the text encoder was trained on."""
    try:
        import ftfy
    except ImportError as error:
        raise MissingExtraError("Prompt cleaning", "wan") from error
    return re.sub(r"\s+", " ", html.unescape(html.unescape(ftfy.fix_text(text))).strip())


def tokenise(tokenizer_path: Path, prompt: str) -> tuple[Tensor, Tensor]:  # ids and mask, each [1, 512] int64
    """Token ids, padded or cut to 512. Raises WeightsError if the tokenizer is missing."""
    if not tokenizer_path.is_dir():
        raise WeightsError(f"Tokenizer {tokenizer_path} is missing.", remedy=fetch_weights("wan"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_path), local_files_only=True)
    encoded = tokenizer(
        [clean_prompt(prompt)],
        padding="max_length",
        truncation=True,
        max_length=TEXT_TOKENS,
        add_special_tokens=True,
        return_tensors="pt",
    )
    return encoded.input_ids, encoded.attention_mask


def embed(
    text_encoder: Any,  # transformers' UMT5EncoderModel
    ids: Tensor,  # [1, 512]
    mask: Tensor,  # [1, 512]
) -> Tensor:  # [1, 512, channels] float32 on the CPU
    """Embeddings, zero past the prompt's end."""
    device = next(text_encoder.parameters()).device
    ids, mask = ids.to(device), mask.to(device)
    with torch.no_grad():
        states = text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    length = int(mask.gt(0).sum())
    states[:, length:] = 0
    return states.cpu()


class PromptCache:
    """Embeddings on disk, one safetensors file per prompt and text encoder.

    ``encoder_id`` names the text encoder's files (see :func:`encoder_id`); None means it is not installed, and then an
    embedding made by any encoder is taken if there is exactly one.
    """

    def __init__(self, folder: Path, encoder: str | None):
        self._folder, self._encoder = folder, encoder

    def get(self, prompts: Sequence[str], compute: Callable[[Sequence[str]], Sequence[Tensor]]) -> list[Tensor]:
        """Embeddings [1, 512, channels] of all ``prompts``; ``compute`` is called once with those not on disk."""
        embeddings = {prompt: self._load(prompt) for prompt in prompts}
        absent = [prompt for prompt, embedding in embeddings.items() if embedding is None]
        if absent:
            for prompt, embedding in zip(absent, compute(absent), strict=True):
                self._save(prompt, embedding)
                embeddings[prompt] = embedding
        return [embedding for prompt in prompts if (embedding := embeddings[prompt]) is not None]

    def has(self, prompts: Sequence[str]) -> bool:
        """Whether all of them can be had without an encoder."""
        return all(self._load(prompt) is not None for prompt in prompts)

    def _stem(self, prompt: str) -> str:
        return hashlib.sha256(clean_prompt(prompt).encode()).hexdigest()[:32]

    def _load(self, prompt: str) -> Tensor | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        stem = self._stem(prompt)
        paths = list(self._folder.glob(f"{stem}-{self._encoder or '*'}.safetensors"))
        if len(paths) != 1:
            return None
        try:
            return load_file(paths[0])["embedding"].float()
        except (SafetensorError, KeyError, OSError):
            return None  # a damaged entry is made anew

    def _save(self, prompt: str, embedding: Tensor) -> None:
        from safetensors.torch import save_file

        if self._encoder is None:
            return
        path = self._folder / f"{self._stem(prompt)}-{self._encoder}.safetensors"
        with atomic_path(path) as temporary:
            save_file({"embedding": embedding.contiguous()}, temporary, metadata={"prompt": prompt})


def encoder_id(paths: Sequence[Path]) -> str:
    """A short name for a text encoder's files: their sizes and a little of their content, quick at 11 GB."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 16))
            file.seek(max(0, size // 2))
            digest.update(file.read(1 << 16))
    return digest.hexdigest()[:16]
