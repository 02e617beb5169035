"use strict";
/* What runs on the graphics processor. Pixels are named (column, row) from the upper left; axes are the filming
   camera's: x right, y down, z forward. Numbers come from luma alone, which is had back from red, green and blue. */

const HEAD = `precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
`;

/* Tiles to numbers, once for each picture of the video: disparity, share of the depth that a wall takes, levels of the
   hidden strips behind, and kind (with the number of strips, whether coding may have moved the pixel, and the frame's
   number above it in the first pixel). */
const PASS_VERTEX = `${HEAD}
void main() {
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
}`;

const DECODE_FRAGMENT = `${HEAD}
uniform sampler2D video;
uniform ivec2 tile;
uniform vec2 span;
uniform float segments;
uniform float kinds;
uniform int layers;
uniform int fields;
out uvec4 decoded;

const ivec2 NEIGHBOURS[4] = ivec2[4](ivec2(1, 0), ivec2(0, 1), ivec2(-1, 0), ivec2(0, -1));
const vec2 STRAY = vec2(0.01, 0.08);
const float ACROSS = 3.0, APART = 0.01; // levels of the coarse disparity, and a share of it

float luma(ivec2 at) {
  return dot(texelFetch(video, at, 0).rgb, vec3(0.2126, 0.7152, 0.0722));
}

/* The value of the triangle wave's segment that lies nearest the coarse level, and that of the next. */
vec2 levels(ivec2 at, out float coarse) {
  coarse = luma(at + ivec2(tile.x, 0)) * segments;
  float fine = luma(at + ivec2(0, tile.y)), best = -9.0, next = -9.0;
  for (int step = -1; step <= 1; step++) {
    float segment = clamp(floor(coarse) + float(step), 0.0, segments - 1.0);
    float value = segment + (mod(segment, 2.0) == 0.0 ? fine : 1.0 - fine);
    if (abs(value - coarse) < abs(best - coarse)) {
      next = best;
      best = value;
    } else if (value != best && abs(value - coarse) < abs(next - coarse)) next = value;
  }
  return vec2(best, next);
}

float coded(ivec2 at) {
  float coarse;
  return mix(span.x, span.y, levels(clamp(at, ivec2(0), tile - 1), coarse).x / segments);
}

/* Whether the coarse level lies so near a turn of the wave that coding may have carried it across. */
bool eitherSide(ivec2 at) {
  float coarse;
  vec2 found = levels(at, coarse), value = mix(span.xx, span.yy, found / segments);
  bool near = abs(found.y - coarse) - abs(found.x - coarse) < ACROSS * segments / 219.0;
  return near && abs(value.x - value.y) > APART * value.x;
}

/* A pixel between two surfaces, on neither, is what coding made of an edge: it goes to the nearer of them. */
float settled(ivec2 at) {
  float own = coded(at), best = -1.0, least = own, most = own;
  for (int k = 0; k < 4; k++) {
    float other = coded(at + NEIGHBOURS[k]);
    if (best < 0.0 || abs(other - own) < abs(best - own)) best = other;
    least = min(least, other);
    most = max(most, other);
  }
  float off = abs(best - own);
  return least < own && own < most && off > STRAY.x * own && off < STRAY.y * own ? best : own;
}

uint frameNumber() {
  int field = 2 * tile.x / fields;
  uint number = 0u;
  for (int k = 0; k < fields; k++) {
    if (luma(ivec2(field * k + field / 2, 2 * tile.y + 8)) > 0.5) number |= 1u << k;
  }
  return number;
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy), half_at = tile + at / 2, more = tile / 2;
  int found = int(round(luma(half_at + ivec2(0, more.y)) * kinds)), one = layers + 1;
  uint kind = uint(found / one) | uint(found % one) << 2;
  float there = settled(at);
  if (there != coded(at) || eitherSide(at)) kind |= 16u;
  float share = luma(half_at);
  vec2 strips = vec2(luma(half_at + ivec2(more.x, 0)), luma(half_at + more));
  if (at == ivec2(0)) kind |= frameNumber() << 8;
  decoded = uvec4(
    floatBitsToUint(there),
    floatBitsToUint(share < 0.004 ? 0.0 : share / (1.0 - min(share, 0.99))),
    packUnorm2x16(strips),
    kind);
}`;

const SURFACE = `${HEAD}
uniform usampler2D decoded;
uniform ivec2 size;

const float SAME = 0.02;
const float OUTSIDE = -1.0;

uvec4 stored(ivec2 p) {
  return texelFetch(decoded, p, 0);
}

bool inside(ivec2 p) {
  return all(greaterThanEqual(p, ivec2(0))) && all(lessThan(p, size));
}

float disparity(ivec2 p) {
  return inside(p) ? uintBitsToFloat(stored(p).x) : OUTSIDE;
}

bool apart(float a, float b) {
  return min(a, b) < 0.0 || abs(a - b) > SAME * max(a, b);
}`;

/* Where the front ends: bit 1 to the right of a pixel, bit 2 below it. The rule is that of the solid mesh: neighbours
   are on one surface if either side, continued by its own step, meets the other. What coding may do is no edge. */
const CUTS_FRAGMENT = `${SURFACE}
uniform vec3 edges;
uniform float exact;
out uvec4 cuts;

bool cut(ivec2 p, ivec2 d, float steepest) {
  float a = disparity(p), b = disparity(p + d);
  if (min(a, b) < 0.0) return true;
  float before = disparity(p - d), after = disparity(p + 2 * d), near = max(a, b), step = abs(a - b), miss = step;
  if (before > 0.0) miss = min(miss, abs(2.0 * a - before - b));
  if (after > 0.0) miss = min(miss, abs(2.0 * b - after - a));
  return step > max(steepest * near, exact) || miss > max(edges.x * near, exact);
}

void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  cuts = uvec4(uint(cut(p, ivec2(1, 0), edges.y)) | uint(cut(p, ivec2(0, 1), edges.z)) << 1, 0u, 0u, 0u);
}`;

const EDGES = `${SURFACE}
uniform usampler2D cuts;

bool cutBetween(ivec2 p, ivec2 q) {
  ivec2 first = min(p, q);
  if (!inside(p) || !inside(q)) return true;
  return (texelFetch(cuts, first, 0).x & (p.y == q.y ? 1u : 2u)) != 0u;
}`;

/* For each pixel the disparity of its surface at its four corners, once for each picture of the video. */
const CORNERS_FRAGMENT = `${EDGES}
uniform vec4 lens;
out uvec4 corners;

const vec4 ROUND = vec4(0.2, 0.88, 0.21, 1.54);
const float ROUND_START = 0.4, ROUND_GAIN = 3.5, RIM = 0.6, LEAST_END = 0.96;

/* Where pixel p's surface has come half way to its neighbour across a cut, towards d: on along its own slope, and as
   far as a circle would where a near thing turns away faster and faster. The rules are those of the solid mesh. */
float endOf(ivec2 p, ivec2 d) {
  float w = disparity(p), other = max(disparity(p + d), 0.0), inner = disparity(p - d), slope = 0.0, gain = 0.5;
  bool near = w > other;
  if (!cutBetween(p, p - d)) {
    slope = w - inner;
    float second = disparity(p - 2 * d);
    if (near && slope < 0.0 && !cutBetween(p - d, p - 2 * d)) {
      float share = (inner - second) / slope;
      if (share > ROUND.x && share < ROUND.y) gain = clamp(ROUND_GAIN * (share - ROUND_START), ROUND.z, ROUND.w);
    }
  }
  float end = w + gain * slope, turned = w / (1.0 + RIM / lens.x);
  if (!near) end = min(end, other);
  else end = max(slope < 0.0 ? min(end, turned) : end * turned / w, other);
  return clamp(end, LEAST_END * w, w / LEAST_END);
}

/* Disparity of pixel p's surface where four pixels meet: the mean of those of them that are joined with it, turned
   away where it ends. All that are joined find the same, so nothing opens between them. */
float cornerOf(ivec2 p, ivec2 corner) {
  ivec2 at[4] = ivec2[4](corner - 1, corner - ivec2(0, 1), corner, corner - ivec2(1, 0));
  float w[4] = float[4](disparity(at[0]), disparity(at[1]), disparity(at[2]), disparity(at[3]));
  bool joined[4];
  int own = 0;
  for (int k = 0; k < 4; k++) {
    joined[k] = !cutBetween(at[k], at[(k + 1) & 3]);
    if (at[k] == p) own = k;
  }
  bool next = joined[own], before = joined[(own + 3) & 3];
  bool across = (next && joined[(own + 1) & 3]) || (before && joined[(own + 2) & 3]);
  bool member[4];
  member[own] = true;
  member[(own + 1) & 3] = next || (across && joined[(own + 1) & 3]);
  member[(own + 2) & 3] = across;
  member[(own + 3) & 3] = before || (across && joined[(own + 2) & 3]);
  float sum = 0.0, count = 0.0, turns = 0.0, ends = 0.0, least = 1.0 / LEAST_END;
  for (int k = 0; k < 4; k++) { // in one order, so that all find the same to the last bit
    if (!member[k]) continue;
    sum += w[k];
    count += 1.0;
    for (int side = 1; side < 4; side += 2) {
      if (member[(k + side) & 3]) continue;
      float turn = endOf(at[k], at[(k + side) & 3] - at[k]) / w[k];
      turns += turn;
      ends += 1.0;
      least = min(least, turn);
    }
  }
  if (ends == 0.0) return sum / count;
  return sum / count * (count == 1.0 ? least : turns / ends);
}

void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  corners = floatBitsToUint(vec4(cornerOf(p, p), cornerOf(p, p + ivec2(1, 0)), cornerOf(p, p + ivec2(0, 1)),
                                 cornerOf(p, p + 1)));
}`;

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
