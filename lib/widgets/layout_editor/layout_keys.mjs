// The keys of the drawing surface: everything that a hand can do, without one. No DOM: `node --test` drives it.
import { BOXES, clamp } from "./layout_core.mjs";

const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
const PAN = 40; // screen pixels for an arrow key with the tool "hand"

export class Keys {
  constructor(stage) { this.stage = stage; }

  key(event) {
    const name = event.key.toLowerCase(), { hold } = this.stage, free = event.ctrlKey || event.altKey;
    if (event.metaKey || (free && !(name in ARROWS))) return;
    const step = event.shiftKey ? 8 : 1, arrow = ARROWS[name]?.map((v) => v * step);
    const act = arrow ? () => this.arrow(arrow, free) : name === " " && event.shiftKey ? () => this.act(true)
      : (hold && this.holdKeys()[name]) || this.paintKeys()[name];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  /** Move the paper, what is held, or the cursor; `free` moves the cursor also while something is held. */
  arrow([dx, dy], free) {
    const { stage } = this;
    if (stage.settings.tool === "hand") return stage.scroll(PAN * dx, PAN * dy);
    if (!stage.hold || free) return this.nudge(dx, dy);
    stage.finish({ dx: stage.hold.op.dx + dx, dy: stage.hold.op.dy + dy });
    stage.reveal(stage.centre());
  }

  nudge(dx, dy) {
    const { stage } = this, { layout } = stage;
    const [x, y] = stage.cursor = stage.inside([stage.cursor[0] + dx, stage.cursor[1] + dy]);
    stage.say(`${x}, ${y}: ${layout.palette[layout.data[y * layout.width + x]][0]}`);
    if (stage.drag?.kind === "keys") { stage.points = [...stage.points.slice(0, 1), stage.cursor]; stage.show(); }
    stage.reveal(stage.cursor);
    stage.redraw();
  }

  holdKeys() {
    const { stage } = this, { op } = stage.hold, finish = (changes) => () => stage.finish(changes);
    const scale = (f) => finish({ scale: clamp(Math.round(100 * op.scale * f) / 100, 0.05, 20) });
    return {
      "+": scale(1.05), "=": scale(1.05), "-": scale(1 / 1.05),
      "[": finish({ angle: op.angle - 5 }), "]": finish({ angle: op.angle + 5 }),
      x: finish({ flip: [!op.flip[0], op.flip[1]] }), y: finish({ flip: [op.flip[0], !op.flip[1]] }),
      d: () => stage.duplicate(), delete: () => stage.remove(), backspace: () => stage.remove(), escape: () => stage.release(),
    };
  }

  paintKeys() {
    const { stage } = this, { tool, resizeBrush } = stage.settings;
    const zoom = (f) => () => { stage.resize(stage.zoom * f); stage.reveal(stage.cursor); };
    return { " ": () => this.act(), enter: () => (["polygon", "lasso"].includes(tool) ? stage.closePolygon() : this.act()),
      escape: () => stage.release(), "[": () => resizeBrush(-1), "]": () => resizeBrush(1),
      "+": zoom(1.25), "=": zoom(1.25), "-": zoom(1 / 1.25) };
  }

  /** Space at the cursor: paint, or set the corners of a shape one after the other; with Shift select one more region. */
  act(more = false) {
    const { stage } = this, { tool } = stage.settings, { cursor } = stage;
    if (tool === "select") return stage.select([...(more ? stage.chosen() : []), cursor]);
    if (tool === "polygon" || tool === "lasso") { stage.points.push(cursor); return stage.redraw(); }
    if (tool === "fill" || tool === "pick") return stage.touch(cursor);
    if (tool === "hand") return;
    if (BOXES.includes(tool) && stage.drag?.kind !== "keys") { stage.drag = { kind: "keys" }; stage.points = [cursor]; return stage.show(); }
    if (!BOXES.includes(tool)) stage.points = [cursor];
    stage.drag = { kind: "draw" };
    stage.lift();
  }
}
