// The layout in the browser: the same operations as lib/widgets/layout_state.py, pixel for pixel.
// Pure functions and one class, without a DOM: `node --test` and the property test of the book run them.
// A map is {width, height, data: Uint8Array}; a mask is a Uint8Array of 0 and 1; a point is [x, y].

export const SOURCE = -1, NEAREST = -2, HISTORY = 200;
export const BOXES = ["rectangle", "ellipse"];
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const GRID = 65536; // entries of a rotation are rounded to this fraction; products are then exact
const onGrid = (value) => Math.floor(value * GRID + 0.5) / GRID;

/** Every pixel of the lines between points: as many steps as the longer side has. */
export function polyline(points) {
  const line = [];
  for (let k = 0; k + 1 < points.length; k++) {
    const [x0, y0] = points[k], dx = points[k + 1][0] - x0, dy = points[k + 1][1] - y0;
    const n = Math.max(Math.abs(dx), Math.abs(dy));
    for (let i = 0; i < n; i++)
      line.push([x0 + Math.floor((2 * i * dx + n) / (2 * n)), y0 + Math.floor((2 * i * dy + n) / (2 * n))]);
  }
  line.push(points[points.length - 1]);
  return line;
}

/** The row spans [dy, reach] of a brush: a disc or a square. */
function spans(radius, square) {
  const rows = [];
  for (let dy = -radius; dy <= radius; dy++) {
    let reach = radius;
    while (!square && reach * reach + dy * dy > radius * radius + radius) reach--;
    if (reach >= 0) rows.push([dy, reach]);
  }
  return rows;
}

export function brushed(size, points, radius, square) {
  const mask = new Uint8Array(size.width * size.height), rows = spans(radius, square);
  for (const [x, y] of polyline(points))
    for (const [dy, reach] of rows) {
      const row = y + dy;
      if (row < 0 || row >= size.height) continue;
      const from = Math.max(0, x - reach), to = Math.min(size.width, x + reach + 1);
      if (from < to) mask.fill(1, row * size.width + from, row * size.width + to);
    }
  return mask;
}

function each(size, inside) {
  const mask = new Uint8Array(size.width * size.height);
  for (let y = 0, p = 0; y < size.height; y++) for (let x = 0; x < size.width; x++, p++) mask[p] = inside(x, y) ? 1 : 0;
  return mask;
}
const ordered = ([x0, y0, x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];

export function rectangle(size, box) {
  const [x0, y0, x1, y1] = ordered(box);
  return each(size, (x, y) => x >= x0 && x <= x1 && y >= y0 && y <= y1);
}

export function ellipse(size, box) {
  const [x0, y0, x1, y1] = ordered(box), w = x1 - x0 + 1, h = y1 - y0 + 1;
  return each(size, (x, y) => ((2 * x - (x0 + x1)) * h) ** 2 + ((2 * y - (y0 + y1)) * w) ** 2 <= (w * h) ** 2);
}

/** Even-odd rule, and the outline. */
export function polygon(size, points) {
  const closed = [...points, points[0]], mask = brushed(size, closed, 0, false);
  const inside = new Uint8Array(mask.length);
  for (let k = 0; k < points.length; k++) {
    const [x0, y0] = closed[k], [x1, y1] = closed[k + 1];
    for (let y = Math.max(Math.min(y0, y1), 0); y < Math.min(Math.max(y0, y1), size.height); y++) {
      const crossing = x0 + ((y - y0) * (x1 - x0)) / (y1 - y0);
      for (let x = 0; x < size.width && x < crossing; x++) inside[y * size.width + x] ^= 1;
    }
  }
  for (let p = 0; p < mask.length; p++) mask[p] |= inside[p];
  return mask;
}

/** Spread from seeds to the four neighbours for which open(p) holds. */
function spread(size, seeds, open) {
  const { width, height } = size, seen = new Uint8Array(width * height), stack = [];
  const visit = (p) => { if (!seen[p] && open(p)) { seen[p] = 1; stack.push(p); } };
  seeds.forEach(visit);
  while (stack.length) {
    const p = stack.pop(), x = p % width;
    if (x > 0) visit(p - 1);
    if (x < width - 1) visit(p + 1);
    if (p >= width) visit(p - width);
    if (p < width * (height - 1)) visit(p + width);
  }
  return seen;
}

export function flood(map, [x, y]) {
  const start = y * map.width + x, wanted = map.data[start];
  return spread(map, [start], (p) => map.data[p] === wanted);
}

/** The regions round some pixels; with `inside` also everything that they enclose. */
export function region(map, at, inside) {
  const mask = new Uint8Array(map.data.length);
  for (const point of at) flood(map, point).forEach((v, p) => { if (v) mask[p] = 1; });
  if (!inside) return mask;
  const border = [];
  for (let x = 0; x < map.width; x++) border.push(x, (map.height - 1) * map.width + x);
  for (let y = 0; y < map.height; y++) border.push(y * map.width, y * map.width + map.width - 1);
  const outside = spread(map, border, (p) => !mask[p]);
  return outside.map((v) => 1 - v);
}

/** [left, top, right, bottom] of a mask, the last two exclusive; null for an empty mask. */
export function boxOf(mask, width) {
  let left = Infinity, top = Infinity, right = -1, bottom = -1;
  for (let p = 0; p < mask.length; p++)
    if (mask[p]) {
      const x = p % width, y = (p - x) / width;
      left = Math.min(left, x); right = Math.max(right, x + 1); top = Math.min(top, y); bottom = y + 1;
    }
  return right < 0 ? null : [left, top, right, bottom];
}

/** The data with each pixel of the hole in the class of the nearest pixel outside; ties go to the lower class. */
export function healed(map, hole) {
  const data = map.data.slice(), box = boxOf(hole, map.width);
  if (!box || hole.every((v) => v)) return data;
  const x0 = Math.max(box[0] - 1, 0), y0 = Math.max(box[1] - 1, 0);
  const w = Math.min(box[2] + 1, map.width) - x0, h = Math.min(box[3] + 1, map.height) - y0;
  const at = (x, y) => (y0 + y) * map.width + x0 + x;
  const classes = new Set(), nearest = new Float64Array(w * h).fill(Infinity);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) if (!hole[at(x, y)]) classes.add(map.data[at(x, y)]);
  for (const cls of [...classes].sort((a, b) => a - b)) {
    const column = columnDistance(w, h, (x, y) => !hole[at(x, y)] && map.data[at(x, y)] === cls);
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        if (!hole[at(x, y)]) continue;
        const best = rowMinimum(column, w, x, y, nearest[y * w + x]);
        if (best < nearest[y * w + x]) { nearest[y * w + x] = best; data[at(x, y)] = cls; }
      }
  }
  return data;
}

/** Distance along the column to the next pixel of a kind. */
function columnDistance(w, h, kind) {
  const far = new Float64Array(w * h).fill(Infinity);
  for (let x = 0; x < w; x++) {
    for (let y = 0; y < h; y++) far[y * w + x] = kind(x, y) ? 0 : y ? far[(y - 1) * w + x] + 1 : Infinity;
    for (let y = h - 2; y >= 0; y--) far[y * w + x] = Math.min(far[y * w + x], far[(y + 1) * w + x] + 1);
  }
  return far;
}

/** Least squared distance over one row of column distances, as far as it can be below a bound. */
function rowMinimum(column, w, x, y, bound) {
  let best = bound;
  for (let step = 0; step * step < best && step < w; step++)
    for (const other of [x - step, x + step])
      if (other >= 0 && other < w) best = Math.min(best, step * step + column[y * w + other] ** 2);
  return best;
}

/** `onto` with the masked part of the map laid over it, moved, scaled, turned and mirrored. */
export function moved(map, mask, onto, { dx, dy, scale, angle, flip }) {
  const box = boxOf(mask, map.width);
  if (!box) return onto;
  const { width, height, data } = map, result = onto.slice();
  const cx = (box[0] + box[2] - 1) / 2, cy = (box[1] + box[3] - 1) / 2, turn = (angle * Math.PI) / 180;
  const along = onGrid(Math.cos(turn) / scale), across = onGrid(Math.sin(turn) / scale);
  for (let v = 0, p = 0; v < height; v++)
    for (let u = 0; u < width; u++, p++) {
      const right = u - cx - dx, down = v - cy - dy;
      const x = Math.floor((flip[0] ? -1 : 1) * (along * right + across * down) + cx + 0.5);
      const y = Math.floor((flip[1] ? -1 : 1) * (along * down - across * right) + cy + 0.5);
      if (x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x]) result[p] = data[y * width + x];
    }
  return result;
}

/** Where the pixels that name a selection lie after its move; null where none is left inside the map. */
export function landed({ width, height }, mask, { at, dx, dy, scale, angle, flip }) {
  const box = boxOf(mask, width), cx = (box[0] + box[2] - 1) / 2, cy = (box[1] + box[3] - 1) / 2, turn = (angle * Math.PI) / 180;
  const pixels = at.map(([x, y]) => {
    const u = (flip[0] ? -1 : 1) * (x - cx) * scale, v = (flip[1] ? -1 : 1) * (y - cy) * scale;
    return [Math.round(cx + dx + u * Math.cos(turn) - v * Math.sin(turn)),
      Math.round(cy + dy + u * Math.sin(turn) + v * Math.cos(turn))];
  }).filter(([x, y]) => x >= 0 && y >= 0 && x < width && y < height);
  return pixels.length ? pixels : null;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
export function crc32(data) {
  let c = 0xffffffff;
  for (let p = 0; p < data.length; p++) c = TABLE[(c ^ data[p]) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

const same = (a, b) => a.length === b.length && a.every((v, p) => v === b[p]);
const PAINTS = {
  brush: (m, op) => brushed(m, op.points, op.radius, op.square),
  fill: (m, op) => flood(m, op.at),
  polygon: (m, op) => polygon(m, op.points),
  rectangle: (m, op) => rectangle(m, op.box),
  ellipse: (m, op) => ellipse(m, op.box),
};

/** A map with its palette [[name, [r, g, b]], ...] and its history. */
export class Layout {
  constructor({ width, height, data, source, palette, original }) {
    Object.assign(this, { width, height, data, source, palette, original: original ?? palette });
    this.past = []; this.future = [];
  }

  /** Carry out one operation; false where it changed nothing. */
  apply(op) {
    if (op.op === "undo") return this.#shift(this.past, this.future);
    if (op.op === "redo") return this.#shift(this.future, this.past);
    if (op.op in PAINTS) return this.#commit(this.painted(op), this.palette);
    if (op.op === "reset") return this.#commit(this.source, this.original);
    if (op.op === "delete")
      return this.#commit(this.#without(this, region(this, op.at, op.inside), op.vacated), this.palette);
    if (op.op === "move") return this.#move(op);
    return this.#commit(this.data, this.#named(op));
  }

  /** The data that a painting operation would give. */
  painted(op) {
    const mask = PAINTS[op.op](this, op), data = this.data.slice();
    for (let p = 0; p < mask.length; p++) if (mask[p]) data[p] = op.cls === SOURCE ? this.source[p] : op.cls;
    return data;
  }

  /** The data that a move would give; `start` may hold what does not change while a hand drags. */
  previewed(op, start = this.grabbed(op)) {
    return moved(start.map, start.mask, op.copy ? start.map.data : start.left, op);
  }

  /** What a move takes hold of: the map, the mask, and the map after it has left. */
  grabbed(op) {
    const data = op.amend ? this.past[this.past.length - 1].data : this.data;
    const map = { width: this.width, height: this.height, data }, mask = region(map, op.at, op.inside);
    return { map, mask, left: this.#without(map, mask, op.vacated) };
  }

  #move(op) {
    if (op.amend && !this.past.length) return false; // only Python has the step to amend
    const data = this.previewed(op);
    if (!op.amend) return this.#commit(data, this.palette);
    const base = this.past.pop();
    Object.assign(this, { data: base.data, palette: base.palette });
    return this.#commit(data, base.palette, true);
  }

  #without(map, mask, vacated) {
    if (vacated === NEAREST) return healed(map, mask);
    return map.data.map((v, p) => (mask[p] ? (vacated === SOURCE ? this.source[p] : vacated) : v));
  }

  #named({ op, cls, name, colour }) {
    const palette = this.palette.map((entry) => [...entry]);
    if (op === "add") palette.push([name, colour]);
    else if (op === "rename") palette[cls][0] = name;
    else if (op === "recolour") palette[cls][1] = colour;
    return palette;
  }

  #commit(data, palette, always = false) {
    if (!always && same(data, this.data) && JSON.stringify(palette) === JSON.stringify(this.palette)) return false;
    this.past.push({ data: this.data, palette: this.palette });
    if (this.past.length > HISTORY) this.past.shift();
    this.future = [];
    Object.assign(this, { data, palette });
    return true;
  }

  #shift(from, into) {
    if (!from.length) return false;
    into.push({ data: this.data, palette: this.palette });
    Object.assign(this, from.pop());
    return true;
  }
}
