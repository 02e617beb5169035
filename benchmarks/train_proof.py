"""That training learns what it should: a small Wan-shaped model on procedural scenes whose truth is known. JSON out.

    python benchmarks/train_proof.py WORK_FOLDER --out proof.json [--seconds S] [--steps N] [--tiny]

In order: a VAE and a base model are trained on rendered clips; data sets are written with simulated masks on clips of a
camera that stands still; LoRA and geometry encoder are trained on them by ``ex4d.train.loop.train`` as people run it,
with rendering masks, with tracking masks, with both, and with both but geometry set to zero. Held out are *true*
occlusions: what a second camera really saw of other scenes, guided by the mesh of the first camera's depth.
The runs go side by side. ``--seconds`` is for VAE, base and data, each of which has its share.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from proof_scenes import ProofScenes
from recorded import Recorded
from safetensors.torch import save_file
from torch import Tensor

from ex4d.dwmesh import DWMesh
from ex4d.engines.wan.conditioning import image_condition
from ex4d.engines.wan.schedule import TRAIN_TIMESTEPS
from ex4d.engines.wan.vae import WanVae
from ex4d.guides import render_guides
from ex4d.train.building import build
from ex4d.train.config import TrainConfig, parse_config
from ex4d.train.dataset import FORMAT, PROMPTS, SHARDS, Dataset, Manifest, MaskInfo, SampleInfo, ShardInfo, file_sha256
from ex4d.train.encoding import encode_sample
from ex4d.train.loop import train
from ex4d.train.masks import ClipMasks, MaskRecipe, mask_renderer
from ex4d.train.objective import Levels
from ex4d.train.published import start_from
from ex4d.train.record import LOG, read_log
from ex4d.train.sampling import sample_latents
from ex4d.train.scenes import Scenes
from ex4d.types import Clip
from ex4d.weights import WanWeights
from ex4d_ground.cameras import Intrinsics, from_matrices
from ex4d_ground.options import MeshOptions

DATA = "data"
SHARES = {"vae": 0.4, "base": 0.42, "data": 0.18}
RUNS: dict[str, dict[str, Any]] = {
    "mixture": {}, "mixture_without_geometry": {"model": {"geometry": False}},
    "rendering": {"data": {"kinds": ["rendering"]}}, "tracking": {"data": {"kinds": ["tracking"]}},
}  # fmt: skip


class Proof(ProofScenes):
    def __init__(self, args: argparse.Namespace):
        super().__init__(seed=args.seed, tiny=args.tiny)
        self.args = args
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.folder: Path = args.folder
        self.results: dict[str, Any] = {"seed": args.seed, "frames": self.options.frames, "size": self.options.size}

    def seconds(self, stage: str) -> float:
        return self.args.seconds * SHARES[stage]

    # The base

    def trained_for(
        self, stage: str, model: Any, rate: float, decay: float, loss_of: Callable[..., Tensor], draw: Callable[[], Any]
    ) -> tuple[int, float]:
        """Train ``model`` for the stage's seconds on what ``draw`` draws: steps made, and their recent mean loss."""
        on_gpu, limit = self.device.type == "cuda", self.seconds(stage)
        rates = torch.tensor(rate, device=self.device) if on_gpu else rate
        optimizer = torch.optim.AdamW(model.parameters(), lr=rates, weight_decay=decay, capturable=on_gpu)

        def step(*inputs: Tensor) -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, self.dtype, enabled=on_gpu, cache_enabled=False):
                loss = loss_of(*inputs)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss.detach()

        run = Recorded(step, *draw()) if on_gpu else step
        began, steps, mean = time.monotonic(), 0, torch.zeros((), device=self.device)
        while (share := (time.monotonic() - began) / limit) < 1:
            now = rate * min(1, (steps + 1) / 100) * max(0.02, 1 - share)
            for group in optimizer.param_groups:
                group["lr"] = group["lr"].fill_(now) if on_gpu else now
            mean = 0.98 * mean + 0.02 * run(*draw())
            steps += 1
            if on_gpu and steps % 20 == 0:
                torch.cuda.synchronize()  # or the clock runs ahead of the work
        return steps, round(float(mean) / (1 - 0.98**steps), 4)

    def train_vae(self) -> Any:
        from diffusers import AutoencoderKLWan

        torch.manual_seed(self.args.seed)
        width = 24 if not self.args.tiny else 8
        model = AutoencoderKLWan(base_dim=width, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1)
        model.to(self.device)

        def loss_of(clips: Tensor) -> Tensor:
            latent = model.encode(clips).latent_dist
            out = model.decode(latent.mean + 0.02 * torch.randn_like(latent.mean)).sample
            edges = sum((out.diff(dim=d) - clips.diff(dim=d)).abs().mean() for d in (3, 4))
            return (out.float() - clips).abs().mean() + edges + 1e-3 * latent.mean.square().mean()

        count = 16 if not self.args.tiny else 4  # launches cost more than arithmetic: large batches
        steps, loss = self.trained_for("vae", model, 1e-3, 0.0, loss_of, lambda: [self.batch(count)])
        model.eval().requires_grad_(False)
        with torch.no_grad():
            clips = self.batch(8)
            mean = torch.cat([model.encode(clip[None]).latent_dist.mean for clip in clips])
            out = torch.cat([model.decode(each[None]).sample for each in mean]).clamp(-1, 1)
            psnr = -10 * torch.log10(((out - clips) / 2).square().mean())
        flat = mean.permute(1, 0, 2, 3, 4).flatten(1)
        model.register_to_config(latents_mean=flat.mean(1).tolist(), latents_std=flat.std(1).tolist())
        shape = (1, -1, 1, 1, 1)
        self.shift, self.scale = flat.mean(1).view(shape), flat.std(1).view(shape)
        self.results["vae"] = {"steps": steps, "psnr": round(float(psnr), 2), "loss": loss}
        print("vae", self.results["vae"], flush=True)
        return model

    @torch.no_grad()
    def encoded(self, vae: Any, clips: Tensor) -> Tensor:
        return (vae.encode(clips).latent_dist.mean.float() - self.shift) / self.scale

    def train_base(self, vae: Any) -> None:
        from diffusers import WanTransformer3DModel

        torch.manual_seed(self.args.seed + 1)
        heads, per_head, layers = (6, 64, 8) if not self.args.tiny else (2, 24, 2)
        model = WanTransformer3DModel(
            num_attention_heads=heads, attention_head_dim=per_head, in_channels=36, out_channels=16, text_dim=32,
            freq_dim=256, ffn_dim=4 * heads * per_head, num_layers=layers, image_dim=64,
            added_kv_proj_dim=heads * per_head,
        ).to(self.device)  # fmt: skip
        levels = Levels.shifted(3.0)
        context, image = torch.zeros(1, 8, 32, device=self.device), torch.zeros(1, 17, 64, device=self.device)

        def loss_of(clips: Tensor, sigma: Tensor) -> Tensor:
            still = torch.zeros_like(clips)
            still[:, :, 0] = clips[:, :, 0]
            x, y = self.encoded(vae, clips), image_condition(self.encoded(vae, still))
            noise, s = torch.randn_like(x), sigma.view(-1, 1, 1, 1, 1)
            given = torch.cat([(1 - s) * x + s * noise, y], dim=1)
            text, seen = context.expand(len(x), -1, -1), image.expand(len(x), -1, -1)
            out = model(given, sigma * TRAIN_TIMESTEPS, text, seen, return_dict=False)[0]
            return (out.float() - (noise - x)).square().mean()

        def draw() -> list[Tensor]:
            clips = self.batch(16 if not self.args.tiny else 4)
            return [clips, levels.sigmas[torch.randint(TRAIN_TIMESTEPS, (len(clips),))].to(self.device)]

        steps, loss = self.trained_for("base", model, 5e-4, 0.01, loss_of, draw)
        model.eval().save_pretrained(self.folder / "weights" / "transformer")
        self.results["base"] = {"steps": steps, "loss": loss,
                                "parameters": sum(p.numel() for p in model.parameters())}  # fmt: skip
        print("base", self.results["base"], flush=True)

    # Data

    def image_encoder(self) -> Any:
        """CLIP's shape with random weights: the base was not told what it says."""
        from transformers import CLIPVisionConfig, CLIPVisionModel

        torch.manual_seed(0)
        config = CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=56,
        )
        return CLIPVisionModel(config).to(self.device).eval().requires_grad_(False)

    def write_data(self, vae: Any) -> None:
        """Simulated masks on a still camera's clips to train on; true occlusions of an orbiting one held out."""
        folder = self.folder / DATA
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        wan, encoder = WanVae(vae, device=self.device, dtype=torch.float32), self.image_encoder()
        encoder_of = {"vae": wan, "image_encoder": encoder}
        tensors: dict[str, Tensor] = {}
        samples: list[SampleInfo] = []
        held = 24 if not self.args.tiny else 2
        while sum(s.held_out for s in samples) < held:
            self._true_sample(len(samples), samples, tensors, encoder_of)
        began, most = time.monotonic(), 400 if not self.args.tiny else 3
        while len(samples) < held + most and (self.args.tiny or time.monotonic() - began < self.seconds("data")):
            self._simulated_sample(len(samples), samples, tensors, encoder_of)
        path = folder / SHARDS / "00000.safetensors"
        save_file(tensors, path)
        save_file({name: torch.zeros(8, 32) for name in ("prompt", "empty")}, folder / PROMPTS)
        Manifest(FORMAT, {}, {}, [ShardInfo(path.name, file_sha256(path), samples)]).write(folder)
        hidden = {kind: [m.hidden for s in samples if not s.held_out for m in s.masks if m.kind == kind] for kind in ("rendering", "tracking")}  # fmt: skip  # noqa: E501
        self.results["data"] = {
            "training": len(samples) - held, "held_out": held, "seconds": round(time.monotonic() - began, 1),
            "hidden": {kind: round(float(np.mean(v)), 3) for kind, v in hidden.items() if v},
            "hidden_truth": round(float(np.mean([s.masks[0].hidden for s in samples if s.held_out])), 3),
        }  # fmt: skip
        print("data", self.results["data"], flush=True)

    def _clip(self, colour: Tensor, depth: Tensor) -> Clip:
        frames = (colour.cpu().numpy() * 255).round().astype(np.uint8)
        size = self.options.size
        return Clip(frames, depth.float().cpu().numpy(), Intrinsics.from_fov(size, size, self.options.fov_deg))

    @torch.no_grad()
    def _true_sample(self, number: int, samples: Any, tensors: Any, encoder_of: Any) -> None:
        scenes = Scenes.draw(1, self.chance, self.options)
        pose = self.orbits(scenes)
        if float((pose - scenes.still()).abs().max()) == 0:
            return
        source, target = scenes.render(scenes.still()), scenes.render(pose)
        clip = self._clip(source.colour[0], source.depth[0])
        move = from_matrices(pose[0].double().cpu().numpy(), intrinsics=clip.intrinsics)
        guides = render_guides(DWMesh(clip, MeshOptions(mode="solid")), move, source_first_frame=True)
        truth = (target.colour[0].cpu().numpy() * 255).round().astype(np.uint8)
        name, masks = f"true{number}", [guides.mask, guides.mask]
        tensors |= encode_sample(name, truth, masks, [guides.colour] * 2, **encoder_of)
        hidden = float(1 - guides.mask.mean())
        info = [MaskInfo("rendering", 0, hidden), MaskInfo("tracking", 0, hidden)]  # for whatever is trained on
        samples.append(SampleInfo(name, "scene", 0, len(truth), *truth.shape[1:3], info, held_out=True))

    @torch.no_grad()
    def _simulated_sample(self, number: int, samples: Any, tensors: Any, encoder_of: Any) -> None:
        scenes = Scenes.draw(1, self.chance, self.options)
        seen = scenes.render(scenes.still())
        clip = self._clip(seen.colour[0], seen.depth[0])
        maker = ClipMasks(clip, MaskRecipe(), renderer=mask_renderer(clip))
        masks = [maker.draw_kind(kind, 10 * number + i) for i, kind in enumerate(("rendering", "tracking") * 2)]
        name = f"sim{number}"
        frames = np.asarray(clip.frames)
        tensors |= encode_sample(name, frames, [m.mask for m in masks], **encoder_of)
        info = [MaskInfo(m.kind, m.seed, m.hidden) for m in masks]
        samples.append(SampleInfo(name, "scene", 0, len(frames), *frames.shape[1:3], info))

    # Runs

    def config(self, name: str, data: Path, steps: int) -> TrainConfig:
        tables: dict[str, Any] = {
            "data": {"dataset": str(data), "batch": 8 if not self.args.tiny else 2},
            "model": {"rank": 16, "alpha": 16, "geometry_width": 256 if not self.args.tiny else 16},
            "train": {"steps": steps, "learning_rate": 1e-3, "warmup": 50, "seed": self.args.seed, "shift": 3.0},
            "memory": {"precision": "float32", "recompute": "kept", "compile": False},
            "output": {"folder": str(self.folder / name), "checkpoint_every": 0, "held_out_every": max(1, steps // 8),
                       "held_out_clips": 24, "sample_every": 0},
        }  # fmt: skip
        for table, values in RUNS[name].items():
            tables[table] = tables[table] | values
        return parse_config(tables, self.folder)

    def run_all(self) -> None:
        """All runs at once, each in a process of its own: such small models wait for launches, not for the device."""
        command = [sys.executable, __file__, str(self.folder), "--seed", str(self.args.seed)]
        command += ["--steps", str(self.args.steps), *(["--tiny"] if self.args.tiny else [])]
        outputs = {name: self.folder / f"{name}.json" for name in RUNS}
        runs = [subprocess.Popen([*command, "--run", name, "--out", str(out)]) for name, out in outputs.items()]
        failed = [name for name, run in zip(RUNS, runs, strict=True) if run.wait() != 0]
        if failed:
            raise SystemExit(f"These runs failed, see above: {', '.join(failed)}.")
        found = {name: json.loads(out.read_text()) for name, out in outputs.items()}
        self.results["runs"] = found
        ratio = found["mixture"]["held_out_hidden"] / found["mixture_without_geometry"]["held_out_hidden"]
        self.results["hidden_loss_over_without_geometry"] = round(ratio, 4)

    def run_one(self, name: str) -> None:
        """What ``run_all`` starts: one run on the base and the data that are in the folder."""
        from diffusers import AutoencoderKLWan

        began = time.monotonic()
        vae = AutoencoderKLWan.from_pretrained(self.folder / "vae").to(self.device).eval().requires_grad_(False)
        weights = WanWeights(self.folder / "weights")
        config = self.config(name, self.folder / DATA, self.args.steps if not self.args.tiny else 2)
        outcome = train(config, weights=weights)
        lines = [line for line in read_log(self.folder / name / LOG) if "held_out_hidden" in line]
        keys = ("held_out_hidden", "held_out")
        self.results = {
            "steps": config.train.steps,
            "seconds": round(time.monotonic() - began, 1),
            "curve": [[line["step"], *(round(line[key], 4) for key in keys)] for line in lines],
            **{key: lines[-1][key] for key in keys},
        }
        assert outcome.checkpoint is not None
        self.results |= self.pictures(config, weights, vae, outcome.checkpoint)
        print(name, self.results, flush=True)

    @torch.no_grad()
    def pictures(self, config: TrainConfig, weights: WanWeights, vae: Any, checkpoint: Path) -> dict[str, Any]:
        """PSNR and sharpness of what is made where the guides show nothing, against what the camera really saw."""
        model = build(config, self.device, weights=weights)
        start_from(model, checkpoint / "ex4d.safetensors")
        set_ = Dataset(Path(config.data.dataset), config.data.kinds)
        wan = WanVae(vae, device=self.device, dtype=torch.float32)
        errors, shares, made_edges, true_edges, strips = 0.0, 0.0, 0.0, 0.0, []
        for clip in set_.held_out[:8]:
            batch = set_.batch([(clip, set_.mask_of(clip, 0))], [False]).to(self.device)
            steps = 12 if not self.args.tiny else 2
            latents = sample_latents(model, model, batch, steps=steps, geometry=config.model.geometry)
            made, truth, guide = (torch.cat(list(wan.decode(x)), dim=2) for x in (latents, batch.latents, batch.colour))
            hidden = F.interpolate(batch.hidden[:, None], made.shape[2:], mode="nearest")
            errors += float((((made - truth) / 2).square() * hidden).mean())
            shares += float(hidden.mean())
            made_edges += float((made.diff(dim=4).abs() * hidden[..., 1:]).mean())
            true_edges += float((truth.diff(dim=4).abs() * hidden[..., 1:]).mean())
            strips.append(torch.cat([x[0, :, -1] for x in (guide, made, truth)], dim=2))
        from PIL import Image

        page = ((torch.cat(strips, dim=1) * 0.5 + 0.5) * 255).clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        Image.fromarray(page).save(self.folder / f"{checkpoint.parent.name}.png")
        psnr = float(-10 * np.log10(errors / max(shares, 1e-9)))
        return {"psnr_hidden": round(psnr, 2), "sharpness_hidden": round(made_edges / max(true_edges, 1e-9), 3)}

    def render_speed(self) -> None:
        if self.device.type != "cuda":
            return
        self.clips(6, orbit=True)
        torch.cuda.synchronize()
        began = time.monotonic()
        for _ in range(5):
            self.clips(6, orbit=True)
        torch.cuda.synchronize()
        self.results["six_clips_seconds"] = round((time.monotonic() - began) / 5, 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=500.0, help="of VAE, base and data together")
    parser.add_argument("--steps", type=int, default=800, help="of each run")
    parser.add_argument("--run", choices=list(RUNS), help="only this run, on what is in the folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    proof = Proof(args)

    def keep() -> None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(proof.results, indent=1) + "\n")

    if args.run:
        proof.run_one(args.run)
        keep()
        return 0
    proof.render_speed()
    vae = proof.train_vae()
    vae.save_pretrained(args.folder / "vae")
    keep()
    proof.train_base(vae)
    keep()
    proof.write_data(vae)
    keep()
    proof.run_all()
    keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
