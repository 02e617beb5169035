"""Procedural scenes rendered by torch on any device: a room with things in it, seen by two cameras at once.

For proving training, where the truth must be known: the source camera stands still, the target camera orbits, and the
same rays give colour and depth to both. Rooms are five textured planes; in them stand boxes and ellipsoids, some of
which move; a point light casts hard shadows, and fog takes over with distance. Textures are made of noise and stripes,
or cut from pictures that are handed in. Axes are x right, y down, z forward, the source camera at the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = 1e4
_TEXELS = 64


@dataclass(frozen=True)
class SceneOptions:
    """How many, how large, how far."""

    frames: int = 13
    size: int = 128
    things: int = 6
    """Boxes and ellipsoids, half of each."""
    orbit_deg: float = 45.0
    """Largest turn of the target camera at the end of its way."""
    fov_deg: float = 60.0


@dataclass(frozen=True)
class Rendered:
    """One batch of scenes, seen along the clip."""

    colour: Tensor  # [B, T, H, W, 3] 0..1
    depth: Tensor  # [B, T, H, W] along z


@dataclass
class Scenes:
    """Parameters of B scenes on one device."""

    room: Tensor  # [B, 5] left, right, floor, ceiling, back: distances
    centre: Tensor  # [B, N, 3]
    half: Tensor  # [B, N, 3]
    turn: Tensor  # [B, N] about the vertical axis, radians
    speed: Tensor  # [B, N, 3] per clip
    textures: Tensor  # [B, 5 + N, 3, S, S]
    light: Tensor  # [B, 3]
    fog: Tensor  # [B, 4] colour and density
    options: SceneOptions

    @classmethod
    def draw(
        cls, count: int, chance: torch.Generator, options: SceneOptions = SceneOptions(), pictures: Tensor | None = None
    ) -> Scenes:
        """``count`` random scenes on the generator's device; ``pictures`` [P, 3, h, w] 0..1 give textures."""
        device, things = chance.device, options.things

        def even(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *shape, generator=chance, device=device)

        room = torch.cat([even(2.0, 4.0, 2), even(1.0, 1.8, 1), even(1.5, 3.0, 1), even(7.0, 11.0, 1)], dim=1)
        half = even(0.15, 0.55, things, 3)
        z = even(2.6, 6.0, things)
        x = even(-0.5, 0.5, things) * z
        y = room[:, 2:3] - half[..., 1] - even(0.0, 0.8, things) * (torch.arange(things, device=device) % 3 == 0)
        moves = (torch.arange(things, device=device) % 2 == 0).float().view(1, -1, 1)
        speed = even(-0.9, 0.9, things, 3) * moves * torch.tensor([1.0, 0.0, 0.6], device=device)
        textures = _textures(count * (5 + things), chance, pictures).unflatten(0, (count, 5 + things))
        light = torch.stack([even(-1.2, 1.2), -even(0.6, 1.2), even(1.0, 3.5)], dim=1)
        fog = torch.cat([even(0.5, 0.9, 3), even(0.0, 0.08, 1)], dim=1)
        centre = torch.stack([x, y, z], dim=-1)
        return cls(room, centre, half, even(0, math.pi, things), speed, textures, light, fog, options)

    def orbit(self, yaw_deg: Tensor, pitch_deg: Tensor, distance: Tensor) -> Tensor:  # each [B] -> [B, T, 4, 4]
        """World from camera along an eased orbit that starts at the source camera."""
        share = torch.linspace(0, 1, self.options.frames, device=yaw_deg.device)
        share = share * share * (3 - 2 * share)
        yaw, pitch = (torch.deg2rad(a)[:, None] * share for a in (yaw_deg, pitch_deg))
        zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
        about_y = torch.stack([yaw.cos(), zero, -yaw.sin(), zero, one, zero, yaw.sin(), zero, yaw.cos()], -1)
        about_x = torch.stack([one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos()], -1)
        rotation = about_y.unflatten(-1, (3, 3)) @ about_x.unflatten(-1, (3, 3))
        target = torch.stack([torch.zeros_like(distance), torch.zeros_like(distance), distance], -1)[:, None]
        eye = target - (rotation @ target[..., None])[..., 0]
        pose = torch.eye(4, device=yaw.device).repeat(*yaw.shape, 1, 1)
        pose[..., :3, :3], pose[..., :3, 3] = rotation, eye
        return pose

    def still(self) -> Tensor:  # [B, T, 4, 4]
        """The source camera."""
        return torch.eye(4, device=self.room.device).repeat(len(self.room), self.options.frames, 1, 1)

    def is_free(self, pose: Tensor) -> Tensor:  # [B, T, 4, 4] -> [B] bool
        """Whether the camera keeps inside the room and out of everything that stands in it."""
        eye = pose[..., :3, 3]
        room = self.room[:, None]
        margin = 0.15
        inside = (eye[..., 0] > -room[..., 0] + margin) & (eye[..., 0] < room[..., 1] - margin)
        inside &= (eye[..., 1] < room[..., 2] - margin) & (eye[..., 1] > -room[..., 3] + margin)
        inside &= eye[..., 2] < room[..., 4] - margin
        away = (eye[:, :, None] - self._centres()).abs() / (self.half[:, None] + 0.3)
        return (inside & (away.norm(dim=-1) > 1.2).all(-1)).all(1)

    def _centres(self) -> Tensor:  # [B, T, N, 3]
        share = torch.linspace(-0.5, 0.5, self.options.frames, device=self.room.device)
        return self.centre[:, None] + share.view(1, -1, 1, 1) * self.speed[:, None]

    def render(self, pose: Tensor) -> Rendered:  # [B, T, 4, 4] world from camera
        """What a camera sees along ``pose``."""
        options, device = self.options, pose.device
        focal = 0.5 / math.tan(math.radians(options.fov_deg) / 2)
        steps = (torch.arange(options.size, device=device) + 0.5) / options.size - 0.5
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        rays = torch.stack([x / focal, y / focal, torch.ones_like(x)], -1).flatten(0, 1)  # z is 1: lengths are depths
        directions = torch.einsum("btij,pj->btpi", pose[..., :3, :3], rays)
        origin = pose[..., None, :3, 3].expand_as(directions)
        depth, which, normal, uv = self._hit(origin, directions)
        point = origin + directions * depth[..., None]
        colour = self._texture(which, uv) * self._shade(point, normal)[..., None]
        clear = torch.exp(-self.fog[:, None, None, 3:] * depth[..., None])
        colour = clear * colour + (1 - clear) * self.fog[:, None, None, :3]
        shape = (*depth.shape[:2], options.size, options.size)
        return Rendered(colour.clamp(0, 1).view(*shape, 3), depth.view(shape))

    def _hit(self, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The nearest surface of each ray: distance, which one, its normal, its texture's coordinates."""
        best, which, normal, uv = self._room_hit(origin, ray)
        centres, axes = self._centres(), _axes(self.turn)[:, None]
        for n in range(self.half.shape[1]):
            turn = axes[:, :, n]
            o = torch.einsum("btij,btpj->btpi", turn, origin - centres[:, :, n, None])
            d = torch.einsum("btij,btpj->btpi", turn.expand(*d_shape(ray), 3, 3), ray)
            half = self.half[:, None, None, n]
            found, local, place = (_box if n % 2 else _ellipsoid)(o / half, d / half)
            nearer = found < best
            best = torch.where(nearer, found, best)
            which = torch.where(nearer, 5 + n, which)
            world = torch.einsum("btij,btpi->btpj", turn.expand(*d_shape(ray), 3, 3), local / half)
            normal = torch.where(nearer[..., None], world / world.norm(dim=-1, keepdim=True).clamp_min(1e-9), normal)
            uv = torch.where(nearer[..., None], place, uv)
        return best, which, normal, uv

    def _room_hit(self, origin: Tensor, ray: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        best = torch.full(ray.shape[:-1], _FAR, device=ray.device)
        which = torch.zeros(ray.shape[:-1], dtype=torch.long, device=ray.device)
        normal, uv = torch.zeros_like(ray), torch.zeros(*ray.shape[:-1], 2, device=ray.device)
        for index, (axis, sign) in enumerate(((0, -1), (0, 1), (1, 1), (1, -1), (2, 1))):
            away = sign * self.room[:, index].view(-1, 1, 1) - origin[..., axis]
            found = away / torch.where(ray[..., axis].abs() < 1e-9, torch.full_like(away, 1e-9), ray[..., axis])
            nearer = (found > 1e-4) & (found < best)
            best = torch.where(nearer, found, best)
            which = torch.where(nearer, index, which)
            point = origin + ray * found[..., None]
            place = torch.stack([point[..., i] for i in range(3) if i != axis], -1) / 4
            uv = torch.where(nearer[..., None], place, uv)
            flat = torch.zeros(3, device=ray.device)
            flat[axis] = -sign
            normal = torch.where(nearer[..., None], flat, normal)
        return best, which, normal, uv

    def _shade(self, point: Tensor, normal: Tensor) -> Tensor:
        """Lambert's law with a hard shadow and some light from everywhere."""
        light = self.light[:, None, None]
        towards = light - point
        far = towards.norm(dim=-1).clamp_min(1e-6)
        facing = ((towards / far[..., None]) * normal).sum(-1).clamp_min(0)
        start = point + 1e-3 * normal
        blocked = self._blocked(start, light - start)
        return 0.35 + 0.75 * facing * (~blocked) / (1 + 0.02 * far * far)

    def _blocked(self, origin: Tensor, ray: Tensor) -> Tensor:
        """Whether a thing stands on the way; the room itself blocks no light."""
        centres, axes = self._centres(), _axes(self.turn)[:, None]
        blocked = torch.zeros(ray.shape[:-1], dtype=torch.bool, device=ray.device)
        for n in range(self.half.shape[1]):
            turn = axes[:, :, n].expand(*d_shape(ray), 3, 3)
            half = self.half[:, None, None, n]
            o = torch.einsum("btij,btpj->btpi", turn, origin - centres[:, :, n, None]) / half
            d = torch.einsum("btij,btpj->btpi", turn, ray) / half
            blocked |= (_box if n % 2 else _ellipsoid)(o, d)[0] < 1
        return blocked

    def _texture(self, which: Tensor, uv: Tensor) -> Tensor:  # [B, T, P, 3]
        """The nearest texel of each point's own texture, mirrored at its rim."""
        size = self.textures.shape[-1]
        folded = 1 - (uv.remainder(2) - 1).abs()
        cell = (folded * size).long().clamp(0, size - 1)
        flat = self.textures.permute(0, 1, 3, 4, 2).flatten(1, 3)  # [B, surfaces * S * S, 3]
        index = (which * size + cell[..., 1]) * size + cell[..., 0]
        return torch.gather(flat, 1, index.flatten(1)[..., None].expand(-1, -1, 3)).view(*which.shape, 3)


def d_shape(ray: Tensor) -> tuple[int, int]:
    """Scenes and frames of a field of rays."""
    return ray.shape[0], ray.shape[1]


def _axes(turn: Tensor) -> Tensor:  # [B, N] -> [B, N, 3, 3]
    """Local from world: a turn about the vertical axis."""
    zero, one = torch.zeros_like(turn), torch.ones_like(turn)
    flat = [turn.cos(), zero, turn.sin(), zero, one, zero, -turn.sin(), zero, turn.cos()]
    return torch.stack(flat, -1).unflatten(-1, (3, 3))


def _ellipsoid(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A unit ball: distance along the ray, local normal, texture's coordinates."""
    a, b, c = d.square().sum(-1), (o * d).sum(-1), o.square().sum(-1) - 1
    root = b.square() - a * c
    found = (-b - root.clamp_min(0).sqrt()) / a
    found = torch.where((root > 0) & (found > 1e-3), found, torch.full_like(found, _FAR))
    point = o + d * found.clamp_max(1e3)[..., None]
    around = torch.atan2(point[..., 0], point[..., 2]) / math.pi
    return found, point, torch.stack([around, point[..., 1].clamp(-1, 1)], -1)


def _box(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A cube from -1 to 1."""
    safe = torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
    one, two = (-1 - o) / safe, (1 - o) / safe
    near, axis = torch.minimum(one, two).max(-1)
    far = torch.maximum(one, two).amin(-1)
    found = torch.where((near < far) & (near > 1e-3), near, torch.full_like(near, _FAR))
    point = o + d * found.clamp_max(1e3)[..., None]
    flat = torch.nn.functional.one_hot(axis, 3).to(d.dtype)
    normal = flat * point.sign()
    others = torch.where(axis[..., None] == 0, point[..., [1, 2]], torch.where(axis[..., None] == 1, point[..., [0, 2]], point[..., [0, 1]]))  # fmt: skip  # noqa: E501
    return found, normal, others * 0.5 + 0.5


def _textures(count: int, chance: torch.Generator, pictures: Tensor | None) -> Tensor:  # [count, 3, S, S]
    """Noise of several sizes in two colours, and stripes; or cuts from pictures at random places."""
    device = chance.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance, device=device)

    if pictures is not None:
        which = torch.randint(len(pictures), (count,), generator=chance, device=device)
        high, wide = pictures.shape[-2:]
        cuts = []
        for i in range(count):
            side = int((0.15 + 0.5 * float(rand(1))) * min(high, wide))
            top, left = int(float(rand(1)) * (high - side)), int(float(rand(1)) * (wide - side))
            cut = pictures[which[i], :, top : top + side, left : left + side][None]
            cuts.append(torch.nn.functional.interpolate(cut, (_TEXELS, _TEXELS), mode="area"))
        return torch.cat(cuts)
    field = torch.zeros(count, 1, _TEXELS, _TEXELS, device=device)
    for size in (4, 8, 16, 32):
        noise = rand(count, 1, size, size) * 2 - 1
        field = field + torch.nn.functional.interpolate(noise, (_TEXELS, _TEXELS), mode="bilinear") / size**0.3
    ramp = torch.arange(_TEXELS, device=device) / _TEXELS
    stripes = torch.sin(2 * math.pi * (3 + 9 * rand(count, 1, 1, 1)) * ramp).sign()
    mix = (rand(count, 1, 1, 1) < 0.3).float()
    field = torch.sigmoid(2.5 * (field * (1 - mix) + stripes * mix))
    first, second = rand(count, 3, 1, 1), rand(count, 3, 1, 1)
    return field * first + (1 - field) * second
