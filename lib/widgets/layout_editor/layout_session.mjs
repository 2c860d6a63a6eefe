// One layout in the browser, shared by all views of a widget: it draws at once and tells Python afterwards.
import { Layout, crc32 } from "./layout_core.mjs";

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();

export class Session {
  constructor(model) {
    this.model = model;
    this.client = Math.random().toString(36).slice(2);
    this.sent = 0;
    this.waiting = []; // operations that Python has not confirmed yet
    this.listeners = new Set();
    this.adopt();
    model.on("change:snapshot", () => this.adopt());
    model.on("msg:custom", (message, buffers) => this.hear(message, buffers));
  }

  /** Take the map as Python has it; what was drawn since then is drawn again. */
  adopt() {
    const { data, source, depth, seen, spare, ...rest } = this.model.get("snapshot");
    this.spare = spare ?? []; // colours for new classes, [[r, g, b], ...]
    this.layout = new Layout({ ...rest, data: bytes(data), source: bytes(source) });
    this.beyond = [...depth]; // steps that only Python can undo and redo
    this.waiting = this.waiting.filter(({ number }) => number > (seen[this.client] ?? 0));
    this.waiting.forEach(({ op }) => this.layout.apply(op));
    this.tell("adopted");
  }

  get depth() {
    return [this.beyond[0] + this.layout.past.length, this.beyond[1] + this.layout.future.length];
  }

  /** Carry out an operation here, and send it; false where it changes nothing. */
  commit(op) {
    const { past, future } = this.layout;
    const here = op.op === "undo" || op.amend ? past.length : op.op === "redo" ? future.length : true;
    if (op.op === "undo" && !this.depth[0]) return false;
    if (op.op === "redo" && !this.depth[1]) return false;
    if (here && !this.layout.apply(op)) return false;
    if (op.op !== "undo" && op.op !== "redo") this.beyond[1] = 0;
    const number = ++this.sent;
    this.waiting.push({ number, op });
    const crc = here ? crc32(this.layout.data) : null;
    this.model.send({ type: "operation", client: this.client, number, op, crc });
    this.tell("edited");
    return true;
  }

  hear(message, buffers) {
    if (message.type === "done" && message.client === this.client) {
      this.waiting = this.waiting.filter(({ number }) => number > message.number);
      this.tell("confirmed");
    } else if (message.type === "say") this.tell("said", message.text);
    else if (message.type === "file") this.tell("file", { name: message.name, data: bytes(buffers[0]) });
  }

  tell(what, detail) {
    for (const listener of this.listeners) listener(what, detail);
  }
}
