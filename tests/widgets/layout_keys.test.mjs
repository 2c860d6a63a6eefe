// What the keys do to the drawing surface, with a stand-in for it: `node --test`.
import assert from "node:assert/strict";
import test from "node:test";
import { Keys } from "../../lib/widgets/layout_editor/layout_keys.mjs";

class Stage {
  constructor(tool) {
    this.settings = { tool, resizeBrush: (by) => this.heard.push(`brush ${by}`) };
    this.layout = { width: 20, height: 10, data: new Uint8Array(200), palette: [["sky", [1, 2, 3]]] };
    Object.assign(this, { heard: [], cursor: [10, 5], points: [], drag: null, hold: null, zoom: 2 });
  }
  inside([x, y]) { return [Math.min(Math.max(x, 0), 19), Math.min(Math.max(y, 0), 9)]; }
  centre() { return [this.hold.op.dx, this.hold.op.dy]; }
  chosen() { return this.hold ? this.hold.op.at : []; }
  select(at) { this.hold = { op: { at, dx: 0, dy: 0, scale: 1, angle: 0, flip: [false, false] } }; }
  finish(changes) { Object.assign(this.hold.op, changes); this.heard.push(["finish", changes]); }
  say() {}
  redraw() {}
}
for (const name of ["scroll", "reveal", "remove", "duplicate", "release", "touch", "lift", "show", "closePolygon", "resize"])
  Stage.prototype[name] = function (...values) { this.heard.push([name, ...values]); };

/** The stage after some keys; "C-" holds Control, "S-" Shift. */
function pressed(tool, ...names) {
  const stage = new Stage(tool), keys = new Keys(stage);
  stage.stopped = 0;
  for (const name of names) {
    const event = { ctrlKey: name.includes("C-"), shiftKey: name.includes("S-"), altKey: false, metaKey: false,
      key: name.replace(/[CS]-/g, "").replace("Space", " "), preventDefault() {}, stopPropagation() { stage.stopped++; } };
    keys.key(event);
  }
  return stage;
}

test("arrows move the cursor and keep it in sight", () => {
  const stage = pressed("brush", "S-ArrowRight", "ArrowUp", "S-ArrowRight");
  assert.deepEqual(stage.cursor, [19, 4]);
  assert.deepEqual(stage.heard.at(-1), ["reveal", [19, 4]]);
  assert.equal(stage.stopped, 3);
});

test("arrows move the paper with the tool that pans", () => {
  const stage = pressed("hand", "ArrowLeft", "S-ArrowDown", "Space");
  assert.deepEqual([stage.heard, stage.cursor], [[["scroll", -40, 0], ["scroll", 0, 320]], [10, 5]]);
});

test("arrows move what is held; with Control the cursor, and Shift and Space select one more", () => {
  const stage = pressed("select", "Space", "C-ArrowRight", "C-S-ArrowLeft", "S-Space", "ArrowDown");
  assert.deepEqual(stage.hold.op.at, [[10, 5], [3, 5]]);
  assert.deepEqual([stage.hold.op.dx, stage.hold.op.dy, stage.cursor], [0, 1, [3, 5]]);
  assert.deepEqual(pressed("select", "Space", "C-ArrowRight", "Space").hold.op.at, [[11, 5]]);
});

test("letters and signs scale, turn, mirror, duplicate and delete what is held", () => {
  const { heard } = pressed("select", "Space", "+", "]", "x", "d", "Delete");
  assert.deepEqual(heard, [["finish", { scale: 1.05 }], ["finish", { angle: 5 }], ["finish", { flip: [true, false] }],
    ["duplicate"], ["remove"]]);
});

test("Space paints, sets corners one after the other, and fills", () => {
  const brush = pressed("brush", "Space", "]");
  assert.deepEqual([brush.points, brush.heard], [[[10, 5]], [["lift"], "brush 1"]]);
  const box = pressed("rectangle", "Space", "ArrowRight", "Space");
  assert.deepEqual([box.points, box.heard.filter(([name]) => name !== "reveal").map(([name]) => name)], [[[10, 5], [11, 5]], ["show", "show", "lift"]]);
  assert.deepEqual(pressed("polygon", "Space", "ArrowRight", "Space", "Enter").points, [[10, 5], [11, 5]]);
  assert.deepEqual(pressed("fill", "Space").heard, [["touch", [10, 5]]]);
});

test("other keys are the page's", () => {
  for (const key of ["q", "C-+", "C-d", "Tab"]) assert.equal(pressed("brush", key).stopped, 0);
});
