// The drawing surface: photo, map, outline and handles; pointers and keys become operations.
import { BOXES, NEAREST, SOURCE, boxOf, brushed, clamp, landed, moved } from "./layout_core.mjs";
import { Hand, scrolled } from "./layout_hand.mjs";
import { Keys } from "./layout_keys.mjs";

const hexOf = (rgb) => "#" + rgb.map((v) => v.toString(16).padStart(2, "0")).join("");

export class Stage {
  /** `settings`: tool, cls, radius, square, opacity, inside, vacated, and what to call; `say` tells the reader what happened. */
  constructor(session, root, settings, say) {
    Object.assign(this, { session, root, settings, say, zoom: 1, draft: null, hold: null, drag: null, points: [] });
    this.frame = root.querySelector(".le-frame");
    this.canvas = root.querySelector("canvas.le-map");
    this.over = root.querySelector("canvas.le-over");
    this.middle();
    this.listen();
  }

  middle() { this.cursor = [this.layout.width >> 1, this.layout.height >> 1]; }

  get layout() { return this.session.layout; }
  get data() { return this.draft ?? this.layout.data; }

  // ------------------------------------------------------------------------------------------ drawing

  resize(zoom) {
    this.zoom = clamp(zoom, 0.5, 16);
    const { width, height } = this.layout, shown = [width * this.zoom, height * this.zoom];
    Object.assign(this.canvas, { width, height });
    Object.assign(this.over, { width: Math.round(shown[0]), height: Math.round(shown[1]) });
    for (const node of this.root.querySelectorAll(".le-map, .le-over, .le-photo, .le-paper"))
      Object.assign(node.style, { width: shown[0] + "px", height: shown[1] + "px" });
    this.redraw();
  }

  redraw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.draw(); });
  }

  draw() {
    const { width, height, palette } = this.layout, data = this.data, context = this.canvas.getContext("2d");
    const image = context.createImageData(width, height), words = new Uint32Array(image.data.buffer);
    const alpha = Math.round(255 * this.settings.opacity) << 24;
    const colours = palette.map(([, [r, g, b]]) => (alpha | (b << 16) | (g << 8) | r) >>> 0);
    for (let p = 0; p < data.length; p++) words[p] = colours[data[p]];
    context.putImageData(image, 0, 0);
    this.drawOver();
  }

  drawOver() {
    const pen = this.over.getContext("2d"), z = this.zoom, { tool, radius } = this.settings;
    pen.clearRect(0, 0, this.over.width, this.over.height);
    if (this.hold) this.drawHold(pen);
    if (this.points.length) this.trace(pen, () => this.points.forEach(([x, y], k) =>
      pen[k ? "lineTo" : "moveTo"]((x + 0.5) * z, (y + 0.5) * z)));
    if (this.root.ownerDocument.activeElement !== this.over) return;
    const [x, y] = this.cursor, r = ["brush", "eraser"].includes(tool) ? radius : 0;
    this.trace(pen, () => pen.rect((x - r) * z, (y - r) * z, (2 * r + 1) * z, (2 * r + 1) * z));
  }

  /** A line that can be seen on every colour. */
  trace(pen, path) {
    for (const [colour, dash] of [["#000", []], ["#fff", [4, 4]]]) {
      pen.beginPath(); pen.strokeStyle = colour; pen.lineWidth = 1.5; pen.setLineDash(dash); path(); pen.stroke();
    }
  }

  drawHold(pen) {
    const { width, height } = this.layout, z = this.zoom, { mask } = this.hold.start;
    const held = moved({ width, height, data: mask }, mask, new Uint8Array(mask.length), this.hold.op);
    this.trace(pen, () => {
      for (let y = 0, p = 0; y < height; y++)
        for (let x = 0; x < width; x++, p++) {
          if (x && held[p] !== held[p - 1]) { pen.moveTo(x * z, y * z); pen.lineTo(x * z, (y + 1) * z); }
          if (y && held[p] !== held[p - width]) { pen.moveTo(x * z, y * z); pen.lineTo((x + 1) * z, y * z); }
        }
    });
    pen.setLineDash([]);
    for (const [name, [x, y]] of this.handles()) {
      pen.beginPath(); pen.fillStyle = "#fff"; pen.strokeStyle = "#000";
      if (name === "turn") pen.arc(x, y, 6, 0, 7); else pen.rect(x - 5, y - 5, 10, 10);
      pen.fill(); pen.stroke();
    }
  }

  // -------------------------------------------------------------------------------- selecting, moving

  /** Take hold of the regions under some pixels. */
  select(at) {
    const op = { op: "move", at, inside: this.settings.inside, dx: 0, dy: 0, scale: 1, angle: 0,
      flip: [false, false], copy: false, vacated: this.settings.vacated, amend: false };
    this.hold = { op, start: this.layout.grabbed(op) };
    const names = at.map(([x, y]) => this.layout.palette[this.layout.data[y * this.layout.width + x]][0]);
    this.say(`selected: ${[...new Set(names)].join(", ")}`);
    this.settings.held();
    this.redraw();
  }

  /** The pixels that name what is held, to which one more can be added until it has been moved. */
  chosen() { return this.hold && !this.hold.op.amend ? this.hold.op.at : []; }

  /** The map has changed: what was held is no longer there, unless this view moved it. */
  changed() {
    if (this.finishing) return this.redraw();
    this.release();
    const { width, height } = this.layout;
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.middle(); // another photo
    this.resize(this.session.model.get("zoom"));
  }

  release() {
    this.hold = this.drag = this.draft = null;
    this.points = [];
    this.settings.held();
    this.redraw();
  }

  /** Show a move that is not finished. */
  preview(changes) {
    Object.assign(this.hold.op, changes);
    this.draft = this.layout.previewed(this.hold.op, this.hold.start);
    this.settings.held();
    this.redraw();
  }

  /** Finish a move; the next one of the same selection amends it. */
  finish(changes = {}) {
    Object.assign(this.hold.op, changes);
    this.draft = null;
    this.finishing = true; // every other edit lets go of the selection
    const done = this.session.commit({ ...this.hold.op, flip: [...this.hold.op.flip] });
    this.finishing = false;
    if (done) this.hold.op.amend = true;
    this.redraw();
  }

  duplicate() {
    if (!this.hold) return;
    const { op, start } = this.hold, { width } = this.layout;
    const box = boxOf(start.mask, width);
    const seeds = landed(this.layout, start.mask, op);
    if (op.amend && seeds) this.select(seeds);
    this.finish({ copy: true, dx: Math.max(4, Math.round((box[2] - box[0]) / 4)), dy: 4 });
    this.say("duplicated");
  }

  remove() {
    if (!this.hold) return;
    const { op, start } = this.hold, at = op.amend ? landed(this.layout, start.mask, op) : op.at;
    const { inside } = op, { vacated } = this.settings;
    this.release();
    const gone = at && this.session.commit({ op: "delete", at, inside, vacated });
    this.say(gone ? "deleted" : "Nothing of the selection is left inside the map to delete.");
  }

  /** [name, [x, y]] of each handle, in screen pixels of the stage. */
  handles() {
    const { op, start } = this.hold, box = boxOf(start.mask, this.layout.width), z = this.zoom;
    if (!box) return [];
    const w = ((box[2] - box[0]) / 2) * op.scale, h = ((box[3] - box[1]) / 2) * op.scale;
    const [cx, cy] = this.centre(), turn = (op.angle * Math.PI) / 180, c = Math.cos(turn), s = Math.sin(turn);
    const at = (u, v) => [(cx + u * c - v * s) * z, (cy + u * s + v * c) * z];
    return [["turn", at(0, -h - 14 / z)], ...[[-w, -h], [w, -h], [w, h], [-w, h]].map(([u, v]) => ["scale", at(u, v)])];
  }

  /** The centre of what is held, where it is now. */
  centre() {
    const { op, start } = this.hold, box = boxOf(start.mask, this.layout.width);
    return [(box[0] + box[2]) / 2 + op.dx, (box[1] + box[3]) / 2 + op.dy];
  }

  // ----------------------------------------------------------------------------------------- pointers

  listen() {
    const on = (name, act) => this.over.addEventListener(name, (event) => act(event));
    const hand = new Hand(this);
    for (const act of ["down", "move", "up", "cancel"]) on(`pointer${act}`, (event) => hand[act](event));
    on("dblclick", () => { if (this.settings.tool === "polygon") this.closePolygon(); });
    const keys = new Keys(this);
    on("keydown", (event) => keys.key(event));
    on("wheel", (event) => {
      if (!event.ctrlKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      this.pinch([event.clientX, event.clientY], [0, 0], event.deltaY < 0 ? 1.1 : 1 / 1.1);
    });
    on("focus", () => this.redraw());
    on("blur", () => this.redraw());
  }

  /** The place of a pointer in pixels of the map, not rounded. */
  place(event) {
    const box = this.over.getBoundingClientRect(), { width, height } = this.layout;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }
  pixel(event) {
    const [x, y] = this.place(event).map(Math.floor), { width, height } = this.layout;
    return [clamp(x, -64, width + 64), clamp(y, -64, height + 64)];
  }
  inside([x, y]) { return [clamp(x, 0, this.layout.width - 1), clamp(y, 0, this.layout.height - 1)]; }

  /** Two fingers, or a wheel: zoom about a point of the screen that has moved there by `moved`. */
  pinch([x, y], [dx, dy], ratio) {
    const [u, v] = this.place({ clientX: x - dx, clientY: y - dy }), { frame } = this;
    this.resize(this.zoom * ratio);
    const box = this.over.getBoundingClientRect();
    frame.scrollLeft += box.left + u * this.zoom - x + dx;
    frame.scrollTop += box.top + v * this.zoom - y + dy;
    scrolled(frame, -dx, -dy);
  }

  press(event) {
    if (event.button !== 0 || this.drag) return false;
    event.preventDefault();
    this.before = this.hold && { ...this.hold, op: { ...this.hold.op } };
    this.over.focus({ preventScroll: true });
    try { this.over.setPointerCapture(event.pointerId); } catch { /* a synthetic event has no pointer */ }
    const at = this.pixel(event);
    this.cursor = this.inside(at);
    this.begin(at, event);
    return true;
  }

  /** As if the last press had not been. */
  cancel() {
    if (!this.drag) return;
    if (this.drag.kind === "draw") this.points = [];
    Object.assign(this, { drag: null, draft: null, hold: this.before });
    this.redraw();
  }

  begin(at, event) {
    const { tool } = this.settings;
    if (tool === "select") this.drag = this.grip(at, event);
    else if (tool === "hand") this.drag = { kind: "pan", from: [event.clientX, event.clientY] };
    else if (["fill", "pick", "polygon"].includes(tool)) this.drag = { kind: "tap", at }; // done when it is let go
    else { this.drag = { kind: "draw" }; this.points = [at]; this.show(); }
  }

  /** What a press with the selection tool takes hold of. */
  grip(at, event) {
    const place = this.place(event);
    if (this.hold) {
      const [x, y] = place.map((v) => v * this.zoom);
      const near = this.handles().find(([, [u, v]]) => Math.hypot(u - x, v - y) < 11);
      const { op } = this.hold;
      if (near) return { kind: near[0], from: place, scale: op.scale, angle: op.angle };
      const { width, height } = this.layout, { mask } = this.hold.start, [px, py] = this.inside(at);
      const held = moved({ width, height, data: mask }, mask, new Uint8Array(mask.length), op);
      if (held[py * width + px] && !event.shiftKey) return { kind: "shift", from: at, dx: op.dx, dy: op.dy };
    }
    this.select([...(event.shiftKey ? this.chosen() : []), this.inside(at)]);
    return { kind: "shift", from: at, dx: 0, dy: 0 };
  }

  move(event) {
    const at = this.pixel(event);
    if (!this.drag) {
      const [x, y] = this.inside(at);
      this.root.querySelector(".le-hover").textContent =
        `${x}, ${y}: ${this.layout.palette[this.layout.data[y * this.layout.width + x]][0]}`;
      return;
    }
    const drag = this.drag, place = this.place(event);
    if (drag.kind === "pan") this.pan(event);
    else if (drag.kind === "draw") this.extend(event);
    else if (drag.kind === "tap") return;
    else if (drag.kind === "shift") this.preview({ dx: drag.dx + at[0] - drag.from[0], dy: drag.dy + at[1] - drag.from[1] });
    else {
      const [cx, cy] = this.centre(), angle = ([x, y]) => (Math.atan2(y - cy, x - cx) * 180) / Math.PI;
      const reach = ([x, y]) => Math.hypot(x - cx, y - cy);
      if (drag.kind === "turn") this.preview({ angle: Math.round(drag.angle + angle(place) - angle(drag.from)) % 360 });
      else this.preview({ scale: clamp(Math.round((100 * drag.scale * reach(place)) / Math.max(reach(drag.from), 1)) / 100, 0.05, 20) });
    }
  }

  pan(event) {
    const { from } = this.drag;
    this.scroll(from[0] - event.clientX, from[1] - event.clientY);
    this.drag.from = [event.clientX, event.clientY];
  }

  scroll(dx, dy) { this.frame.scrollLeft += dx; this.frame.scrollTop += dy; }

  /** Scroll a pixel of the map into the frame, with some of what is round it. */
  reveal([x, y]) {
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.frame;
    const by = (at, from, size) => {
      const room = Math.min(40, size / 4);
      return Math.min(at - room - from, 0) + Math.max(at + room - from - size, 0);
    };
    this.scroll(by((x + 0.5) * this.zoom, scrollLeft, clientWidth), by((y + 0.5) * this.zoom, scrollTop, clientHeight));
  }

  extend(event) {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const at = this.pixel(one), last = this.points[this.points.length - 1];
      if (BOXES.includes(this.settings.tool)) this.points = [this.points[0], at];
      else if (at[0] !== last[0] || at[1] !== last[1]) this.points.push(at);
    }
    this.show();
  }

  lift() {
    const drag = this.drag;
    this.drag = null;
    if (!drag || drag.kind === "pan") return;
    if (drag.kind === "tap") return this.tap(drag.at);
    if (drag.kind !== "draw") { if (this.draft) this.finish(); return; }
    const op = this.shape();
    this.draft = null; this.points = [];
    if (op) this.session.commit(op);
    this.redraw();
  }

  // ------------------------------------------------------------------------------------------ painting

  /** The operation that the points so far stand for. */
  shape() {
    const { tool, cls, radius, square } = this.settings, points = this.points.map((p) => [...p]);
    if (tool === "brush" || tool === "eraser")
      return { op: "brush", points, radius, square, cls: tool === "eraser" ? SOURCE : cls };
    if (BOXES.includes(tool)) return { op: tool, box: [...points[0], ...points[points.length - 1]], cls };
    return points.length > 2 ? { op: "polygon", points, cls } : null;
  }

  /** Draw the unfinished shape. A stroke grows by its last piece only. */
  show() {
    const op = this.shape();
    if (op?.op !== "brush") this.draft = op ? this.layout.painted(op) : null;
    else {
      const fresh = op.points.slice(this.draft ? Math.max(this.shown - 1, 0) : 0);
      this.draft ??= this.layout.data.slice();
      const mask = brushed(this.layout, fresh, op.radius, op.square);
      for (let p = 0; p < mask.length; p++) if (mask[p]) this.draft[p] = op.cls === SOURCE ? this.layout.source[p] : op.cls;
      this.shown = op.points.length;
    }
    this.redraw();
  }

  /** A corner of a polygon, which a tap on the first one closes, or bucket or eyedropper. */
  tap(at) {
    if (this.settings.tool !== "polygon") return this.touch(this.inside(at));
    const [first] = this.points, near = first && Math.hypot(at[0] - first[0], at[1] - first[1]) * this.zoom < 12;
    if (near && this.points.length > 2) return this.closePolygon();
    this.points.push(at);
    this.redraw();
  }

  /** Bucket or eyedropper at a pixel. */
  touch(at) {
    const found = this.layout.data[at[1] * this.layout.width + at[0]];
    if (this.settings.tool === "pick") this.settings.choose(found);
    else this.session.commit({ op: "fill", at, cls: this.settings.cls });
    this.redraw();
  }

  closePolygon() {
    const op = this.shape();
    this.points = [];
    if (op) this.session.commit(op);
    this.redraw();
  }
}
export { hexOf };
