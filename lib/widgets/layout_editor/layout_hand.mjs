// Which pointer draws: two fingers move and zoom the paper, a pen takes over from a palm, and a gesture that is called off
// leaves nothing behind.

/** Scroll by (dx, dy) pixels what can be scrolled, from `node` outwards. */
export function scrolled(node, dx, dy) {
  for (; node; node = node.parentElement) {
    if (!/auto|scroll/.test(getComputedStyle(node).overflow)) continue; // a hidden overflow can be scrolled, too, but not back
    const { scrollLeft, scrollTop } = node;
    node.scrollLeft += dx; node.scrollTop += dy;
    dx -= node.scrollLeft - scrollLeft; dy -= node.scrollTop - scrollTop;
  }
}

export class Hand {
  /** `stage` has press(event) -> whether it begins something, move(event), lift(event), cancel(), pinch(middle, moved, ratio). */
  constructor(stage) { Object.assign(this, { stage, drawing: null, fingers: new Map() }); }

  down(event) {
    const { drawing } = this, touch = event.pointerType === "touch";
    if (touch && event.isPrimary) this.fingers.clear(); // the first of a new gesture, whatever became of the last one
    // A press that was never let go ends here, and a palm that came before the pen.
    if (drawing && (drawing.id === event.pointerId || (drawing.type === "touch" && event.isPrimary))) this.callOff();
    if (touch) {
      if (this.drawing && this.drawing.type !== "touch") return; // a palm
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (this.fingers.size > 1) return this.callOff();
    }
    if (!this.drawing && this.stage.press(event)) this.drawing = { id: event.pointerId, type: event.pointerType };
  }

  move(event) {
    if (this.fingers.size > 1 && this.fingers.has(event.pointerId)) return this.pinch(event);
    if (!this.drawing || this.drawing.id === event.pointerId) this.stage.move(event);
  }

  up(event) { if (this.ended(event)) this.stage.lift(event); }

  cancel(event) { if (this.ended(event)) this.stage.cancel(); }

  /** Whether the pointer that has left was the one that draws. */
  ended({ pointerId }) {
    this.fingers.delete(pointerId);
    if (this.drawing?.id !== pointerId) return false;
    this.drawing = null;
    return true;
  }

  callOff() {
    if (this.drawing) this.stage.cancel();
    this.drawing = null;
  }

  pinch({ pointerId, clientX, clientY }) {
    const read = () => {
      const [[ax, ay], [bx, by]] = this.fingers.values();
      return { middle: [(ax + bx) / 2, (ay + by) / 2], apart: Math.max(Math.hypot(ax - bx, ay - by), 1) };
    };
    const before = read();
    this.fingers.set(pointerId, [clientX, clientY]);
    const { middle, apart } = read();
    this.stage.pinch(middle, middle.map((v, k) => v - before.middle[k]), apart / before.apart);
  }
}
