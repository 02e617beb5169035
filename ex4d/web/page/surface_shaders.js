"use strict";
/* What draws a frame's surface of what shaders.js has made of it: its front, and what blocks the view behind it. */

const VERTEX = `${SURFACE}
uniform highp usampler2D corners;
uniform vec4 lens;
uniform mat4 modelViewMatrix;
uniform mat4 projectionMatrix;

const int ORDER[6] = int[6](0, 2, 1, 1, 2, 3);

float cornerOf(ivec2 p, ivec2 corner) {
  ivec2 d = corner - p;
  return uintBitsToFloat(texelFetch(corners, p, 0)[d.x + 2 * d.y]);
}

/* On the ray through a corner, at a disparity: seen from the filming camera its place does not depend on that. */
vec4 placed(vec2 corner, float w) {
  return projectionMatrix * modelViewMatrix * vec4((corner - lens.zw) / lens.xy, 1.0, w);
}`;

const FRONT_VERTEX = `${VERTEX}
flat out ivec2 pixel;
flat out float moved;
out vec2 place;

void main() {
  int cell = gl_VertexID / 6, k = ORDER[gl_VertexID % 6];
  pixel = ivec2(cell % size.x, cell / size.x);
  ivec2 corner = pixel + ivec2(k & 1, k >> 1);
  place = vec2(corner);
  float w = cornerOf(pixel, corner);
  vec4 beside = placed(place, w * (1.0 - SAME));
  gl_Position = placed(place, w);
  // Pixels by which a mistake in depth would shift it: none where the filming camera looks from.
  moved = 0.5 * length((gl_Position.xy / gl_Position.w - beside.xy / beside.w) * vec2(size));
}`;

const FRONT_FRAGMENT = `${SURFACE}
uniform sampler2D video;
uniform usampler2D cuts;
uniform float mark;
uniform vec4 doubt;
flat in ivec2 pixel;
flat in float moved;
in vec2 place;
out vec4 shown;

/* Between pixels of one surface colours are interpolated; across an edge each keeps to its own. */
vec3 colour() {
  vec2 at = place - 0.5, share = fract(at);
  ivec2 first = ivec2(floor(at));
  float own = disparity(pixel), total = 0.0;
  vec3 sum = vec3(0.0);
  for (int k = 0; k < 4; k++) {
    ivec2 d = ivec2(k & 1, k >> 1), p = first + d;
    if (p != pixel && apart(own, disparity(p))) continue;
    float weight = (d.x == 1 ? share.x : 1.0 - share.x) * (d.y == 1 ? share.y : 1.0 - share.y);
    sum += weight * texelFetch(video, p, 0).rgb;
    total += weight;
  }
  return total > 0.001 ? sum / total : texelFetch(video, pixel, 0).rgb;
}

const float LEAST_MOVED = 0.1, NEARLY = 0.7; // pixels; of the step that is an edge

/* Whether coding may have joined, or moved, what an edge should part: a step that is nearly one. */
bool nearlyApart(ivec2 p, float w) {
  float there = inside(p) ? disparity(p) : w;
  return abs(w - there) > NEARLY * SAME * max(w, there);
}

/* Where coding may have moved a pixel off its surface, or moved what is beside it over it: beside a step that is nearly
   an edge, one that hardly anything joins, one in a gap between nearer ones, and at an edge one that was settled or has
   two readings. */
bool unsure() {
  uint own = texelFetch(cuts, pixel, 0).x, left = 1u, above = 2u;
  if (pixel.x > 0) left = texelFetch(cuts, pixel - ivec2(1, 0), 0).x & 1u;
  if (pixel.y > 0) above = texelFetch(cuts, pixel - ivec2(0, 1), 0).x & 2u;
  bvec4 cut = bvec4(left != 0u, above != 0u, (own & 1u) != 0u, (own & 2u) != 0u);
  int sides = int(cut.x) + int(cut.y) + int(cut.z) + int(cut.w);
  float w = disparity(pixel);
  bool steep = !cut.x && nearlyApart(pixel - ivec2(1, 0), w) || !cut.y && nearlyApart(pixel - ivec2(0, 1), w) ||
    !cut.z && nearlyApart(pixel + ivec2(1, 0), w) || !cut.w && nearlyApart(pixel + ivec2(0, 1), w);
  if (steep) return true;
  if (sides == 0) return false;
  if (sides > 2 || (stored(pixel).w & 16u) != 0u) return true;
  bool across = cut.x && cut.z && min(disparity(pixel - ivec2(1, 0)), disparity(pixel + ivec2(1, 0))) > w;
  return across || cut.y && cut.w && min(disparity(pixel - ivec2(0, 1)), disparity(pixel + ivec2(0, 1))) > w;
}

void main() {
  uint kind = stored(pixel).w & 3u;
  if (!gl_FrontFacing || kind == 2u) {
    shown = vec4(0.0);
    return;
  }
  vec3 seen = colour();
  if (kind == 1u) {
    float stripe = step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / 12.0));
    seen = mix(seen, vec3(1.0, 0.54, 0.3), mark * (0.06 + 0.22 * stripe));
  }
  shown = vec4(seen, 1.0);
  if (moved > LEAST_MOVED && unsure()) shown = doubt.a == 0.0 ? vec4(0.0) : vec4(max(seen, doubt.rgb), doubt.a);
}`;

/* What blocks and shows nothing: behind the near side of each edge a wall, under near things the strips. Each goes on
   beyond that of the solid mesh by `reach`, for coding moves edges: what only that part covers is in doubt. */
const BLOCKER_VERTEX = `${VERTEX}
uniform usampler2D cuts;
uniform vec2 span;
uniform vec2 reach;
out vec2 place;
flat out vec4 own; // lowest and highest place along both sides that the solid mesh has, too

const float CLEARANCE = 0.96, ONE_STRIP = 0.1;

vec4 none() {
  return vec4(2.0, 2.0, 2.0, 1.0);
}

vec4 wall(ivec2 p, ivec2 d, int k) {
  ivec2 q = p + d;
  float a = disparity(p), b = disparity(q);
  if (max(a, b) < 0.0 || min(a, b) > 0.0 && (texelFetch(cuts, p, 0).x & (d.x == 1 ? 1u : 2u)) == 0u) return none();
  ivec2 near = a > b ? p : q;
  float share = uintBitsToFloat(stored(near).y);
  if (share == 0.0) return none();
  int side = k & 1, back = k >> 1;
  ivec2 corner = side == 0 ? q : p + 1;
  float w = cornerOf(near, corner), thick = share / max(a, b), more = reach.y / max(a, b);
  vec2 beyond = reach.x * vec2(corner - (side == 0 ? p + 1 : q));
  place = vec2(side == 0 ? -reach.x : 1.0 + reach.x, back == 0 ? 0.0 : thick + more);
  own = vec4(0.0, 1.0, 0.0, thick);
  return placed(vec2(corner) + beyond, back == 0 ? w : 1.0 / (1.0 / w + thick + more));
}

/* The disparities of the strips behind pixel p; below 0 where there is none. */
vec2 stripsOf(ivec2 p) {
  if (!inside(p)) return vec2(OUTSIDE);
  uvec4 own = stored(p);
  uint count = own.w >> 2 & 3u;
  vec2 there = mix(vec2(span.x), vec2(span.y), unpackUnorm2x16(own.z));
  return vec2(count > 0u ? there.x : OUTSIDE, count > 1u ? there.y : OUTSIDE);
}

vec4 strip(ivec2 p, int layer, int k) {
  float here = stripsOf(p)[layer], sum = 0.0, count = 0.0, cover = disparity(p);
  if (here < 0.0) return none();
  ivec2 side = ivec2(k & 1, k >> 1), corner = p + side;
  for (int n = 0; n < 4; n++) {
    ivec2 q = corner - ivec2(n & 1, n >> 1);
    cover = min(cover, disparity(q));
    vec2 there = stripsOf(q), off = abs(there - here);
    int nearest = off.x <= off.y ? 0 : 1;
    if (off[nearest] > ONE_STRIP * here) continue;
    sum += there[nearest];
    count += 1.0;
  }
  float w = min(sum / count, CLEARANCE * cornerOf(p, corner));
  vec2 beyond = w < CLEARANCE * cover ? reach.x * vec2(2 * side - 1) : vec2(0.0);
  place = vec2(side) + beyond;
  own = vec4(0.0, 1.0, 0.0, 1.0);
  return placed(vec2(corner) + beyond, w);
}

void main() {
  int cell = gl_VertexID / 24, part = (gl_VertexID % 24) / 6, k = ORDER[gl_VertexID % 6];
  ivec2 p = ivec2(cell % (size.x + 1), cell / (size.x + 1)) - 1;
  place = vec2(0.0);
  own = vec4(0.0);
  if (part == 0) gl_Position = wall(p, ivec2(1, 0), k);
  else if (part == 1) gl_Position = wall(p, ivec2(0, 1), k);
  else gl_Position = strip(p, part - 2, k);
}`;

const BLOCKER_FRAGMENT = `${HEAD}
uniform vec4 doubt;
in vec2 place;
flat in vec4 own;
out vec4 shown;

void main() {
  bool certain = all(greaterThanEqual(place, own.xz)) && all(lessThanEqual(place, own.yw));
  shown = certain ? vec4(0.0) : doubt;
}`;
