// Examples for the browser's half of the layout editor: `node --test tests/widgets`.
import assert from "node:assert/strict";
import test from "node:test";
import { Layout, NEAREST, SOURCE, brushed, crc32, healed, region } from "../../lib/widgets/layout_editor/layout_core.mjs";

const PALETTE = [["sky", [70, 130, 220]], ["ground", [60, 160, 60]], ["ball", [220, 60, 40]]];
const rows = (...lines) => Uint8Array.from(lines.join(""), Number);
const show = (data, width) => Array.from({ length: data.length / width }, (_, y) => data.slice(y * width, (y + 1) * width).join(""));
function layout(...lines) {
  const data = rows(...lines);
  return new Layout({ width: lines[0].length, height: lines.length, data, source: data, palette: PALETTE });
}

test("a brush of radius 1 is a square of nine, of radius 2 a disc", () => {
  const size = { width: 7, height: 5 };
  assert.equal(brushed(size, [[3, 2]], 1, false).reduce((a, b) => a + b), 9);
  assert.deepEqual(show(brushed(size, [[3, 2]], 2, false), 7), ["0011100", "0111110", "0111110", "0111110", "0011100"]);
  assert.equal(brushed(size, [[-9, -9]], 2, false).reduce((a, b) => a + b), 0);
});

test("a bucket stays in its region, an eraser brings the source back", () => {
  const map = layout("00200", "00200", "00200");
  map.apply({ op: "fill", at: [0, 0], cls: 1 });
  assert.deepEqual(show(map.data, 5), ["11200", "11200", "11200"]);
  map.apply({ op: "brush", points: [[0, 0], [0, 2]], radius: 0, square: false, cls: SOURCE });
  assert.deepEqual(show(map.data, 5), ["01200", "01200", "01200"]);
});

test("a moved part carries what it encloses, and its place goes to the nearest class", () => {
  const map = layout("00000000", "01110000", "01210000", "01110000", "00000000");
  const op = { op: "move", at: [[1, 1]], inside: true, dx: 4, dy: 0, scale: 1, angle: 0, flip: [false, false],
    copy: false, vacated: NEAREST, amend: false };
  assert.equal(map.apply(op), true);
  assert.deepEqual(show(map.data, 8), ["00000000", "00000111", "00000121", "00000111", "00000000"]);
  map.apply({ ...op, dx: 1, amend: true });
  assert.deepEqual(show(map.data, 8)[2], "00121000");
  assert.equal(map.past.length, 1);
  map.apply({ op: "undo" });
  assert.deepEqual(show(map.data, 8)[2], "01210000");
});

test("a turn by 90 degrees is clockwise", () => {
  const map = layout("00000", "01110", "01000", "01000", "00000");
  map.apply({ op: "move", at: [[1, 1]], inside: false, dx: 0, dy: 0, scale: 1, angle: 90, flip: [false, false],
    copy: false, vacated: 0, amend: false });
  assert.deepEqual(show(map.data, 5), ["00000", "01110", "00010", "00010", "00000"]);
});

test("what changes nothing is no step; an edit ends the redo", () => {
  const map = layout("0022");
  assert.equal(map.apply({ op: "fill", at: [0, 0], cls: 0 }), false);
  map.apply({ op: "fill", at: [0, 0], cls: 1 });
  map.apply({ op: "undo" });
  assert.equal(map.future.length, 1);
  map.apply({ op: "fill", at: [3, 0], cls: 1 });
  assert.deepEqual([map.past.length, map.future.length], [1, 0]);
  assert.equal(map.apply({ op: "redo" }), false);
});

test("ties of the nearest class go to the lower one, and a hole that is everything stays", () => {
  const map = layout("1000002");
  assert.deepEqual(show(healed(map, rows("0111110")), 7), ["1111222"]);
  assert.deepEqual(show(healed(map, rows("1111111")), 7), ["1000002"]);
  assert.deepEqual(show(region(layout("010"), [[0, 0]], false), 3), ["100"]);
});

test("the checksum is CRC-32", () => assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926));
