"use strict";
/* What the graphics processor makes of each frame that comes. Pixels are named (column, row) from the upper left; axes
   are the filming camera's: x right, y down, z forward. Numbers come from luma alone, which is had back from red, green
   and blue. */

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
