// Which pointer draws, with a stand-in for the stage: `node --test`.
import assert from "node:assert/strict";
import test from "node:test";
import { Hand } from "../../lib/widgets/layout_editor/layout_hand.mjs";

class Stage {
  constructor() { this.heard = []; this.free = true; }
  press(event) { if (this.free) this.heard.push(`press ${event.pointerId}`); return this.free; }
  move(event) { this.heard.push(`move ${event.pointerId}`); }
  lift(event) { this.heard.push(`lift ${event.pointerId}`); }
  cancel() { this.heard.push("cancel"); }
  pinch(middle, moved, ratio) { this.heard.push(["pinch", ...middle, ...moved, ratio]); }
}

/** What the stage hears of a sequence of [act, pointer, type, x, y]. */
function heard(...events) {
  const stage = new Stage(), hand = new Hand(stage), down = new Set();
  for (const [act, pointerId, pointerType, clientX = 0, clientY = 0] of events) {
    if (act === "down") down.add(pointerId);
    hand[act]({ pointerId, pointerType, clientX, clientY, isPrimary: pointerType !== "touch" || down.size === 1 });
    if (act === "up" || act === "cancel") down.delete(pointerId);
  }
  return stage.heard;
}

test("one finger, a pen or a mouse draws", () => {
  for (const type of ["touch", "pen", "mouse"])
    assert.deepEqual(heard(["down", 7, type], ["move", 7, type], ["up", 7, type]), ["press 7", "move 7", "lift 7"]);
});

test("a second finger calls the stroke off; two fingers zoom and move, and what is left of them draws nothing", () => {
  const acts = heard(["down", 1, "touch", 10, 10], ["move", 1, "touch", 10, 10], ["down", 2, "touch", 20, 10],
    ["move", 2, "touch", 30, 10], ["up", 1, "touch"], ["move", 2, "touch", 50, 50], ["up", 2, "touch"],
    ["down", 3, "touch"], ["up", 3, "touch"]);
  assert.deepEqual(acts, ["press 1", "move 1", "cancel", ["pinch", 20, 10, 5, 0, 2], "move 2", "press 3", "lift 3"]);
});

test("a stroke that the system cancels is called off", () => {
  assert.deepEqual(heard(["down", 1, "touch"], ["cancel", 1, "touch"], ["up", 1, "touch"]), ["press 1", "cancel"]);
});

test("a palm does not disturb the pen, whichever comes first", () => {
  assert.deepEqual(heard(["down", 1, "pen"], ["down", 2, "touch"], ["move", 2, "touch"], ["up", 2, "touch"], ["up", 1, "pen"]),
    ["press 1", "lift 1"]);
  assert.deepEqual(heard(["down", 2, "touch"], ["down", 1, "pen"], ["move", 2, "touch"], ["up", 2, "touch"], ["up", 1, "pen"]),
    ["press 2", "cancel", "press 1", "lift 1"]);
});

test("a finger whose end was never told does not count in the next gesture", () => {
  assert.deepEqual(heard(["down", 1, "touch"], ["up", 9, "touch"]), ["press 1"]);
  const stage = new Stage(), hand = new Hand(stage), touch = { pointerType: "touch", clientX: 0, clientY: 0, isPrimary: true };
  hand.down({ ...touch, pointerId: 1 });
  hand.down({ ...touch, pointerId: 2 });
  assert.deepEqual(stage.heard, ["press 1", "cancel", "press 2"]);
});

test("a button that draws nothing leaves the hand free", () => {
  const stage = new Stage(), hand = new Hand(stage), mouse = { pointerId: 1, pointerType: "mouse" };
  stage.free = false;
  hand.down(mouse); hand.move(mouse); hand.up(mouse);
  assert.deepEqual(stage.heard, ["move 1"]); // a pointer that hovers
});
