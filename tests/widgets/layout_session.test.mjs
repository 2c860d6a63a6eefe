// What the browser and Python say to each other, with a stand-in for the notebook: `node --test`.
import assert from "node:assert/strict";
import test from "node:test";
import { crc32 } from "../../lib/widgets/layout_editor/layout_core.mjs";
import { Session } from "../../lib/widgets/layout_editor/layout_session.mjs";

const view = (values) => new DataView(Uint8Array.from(values).buffer);
const PALETTE = [["sky", [1, 2, 3]], ["ground", [4, 5, 6]], ["ball", [7, 8, 9]]];
const dot = (x, cls) => ({ op: "brush", points: [[x, 0]], radius: 0, square: false, cls });

class Notebook {
  constructor(data, depth = [0, 0]) {
    this.handlers = {}; this.sent = [];
    this.put(data, depth, {});
    this.session = new Session(this);
  }
  put(data, depth, seen) {
    this.snapshot = { width: 4, height: 1, data: view(data), source: view([0, 0, 0, 0]), depth, seen, palette: PALETTE, original: PALETTE };
  }
  push(data, depth, seen) { this.put(data, depth, seen); this.handlers["change:snapshot"](); }
  get(name) { return this[name]; }
  on(name, act) { this.handlers[name] = act; }
  send(message) { this.sent.push(message); }
  get data() { return [...this.session.layout.data]; }
}

test("an edit is drawn at once, and sent with its number and the checksum of the map", () => {
  const book = new Notebook([0, 0, 0, 0]);
  assert.equal(book.session.commit(dot(1, 2)), true);
  assert.deepEqual(book.data, [0, 2, 0, 0]);
  assert.equal(book.sent[0].crc, crc32(Uint8Array.from([0, 2, 0, 0])));
  assert.equal(book.session.commit(dot(1, 2)), false); // changes nothing
  assert.equal(book.sent.length, 1);
});

test("what Python has not seen yet is drawn again over the map that it sends", () => {
  const book = new Notebook([0, 0, 0, 0]), { session } = book;
  [0, 1, 2].forEach((x) => session.commit(dot(x, 1)));
  book.push([1, 0, 0, 2], [2, 0], { [session.client]: 1 }); // a script painted the last pixel meanwhile
  assert.deepEqual(book.data, [1, 1, 1, 2]);
  session.hear({ type: "done", client: session.client, number: 3 });
  book.push([1, 1, 1, 2], [4, 0], { [session.client]: 3 });
  assert.deepEqual([book.data, session.waiting.length], [[1, 1, 1, 2], 0]);
  assert.deepEqual(session.depth, [4, 0]);
});

test("steps that only Python knows are undone there", () => {
  const book = new Notebook([0, 2, 0, 0], [1, 0]), { session } = book;
  assert.equal(session.commit({ op: "undo" }), true);
  assert.deepEqual(book.data, [0, 2, 0, 0]); // until the map comes
  assert.equal(book.sent[0].crc, null);
  book.push([0, 0, 0, 0], [0, 1], { [session.client]: 1 });
  assert.deepEqual([book.data, session.depth], [[0, 0, 0, 0], [0, 1]]);
  assert.equal(session.commit({ op: "undo" }), false);
  session.commit(dot(3, 1));
  assert.deepEqual(session.depth, [1, 0]); // an edit ends the redo there, too
});

test("undo and redo need no Python for what was drawn here", () => {
  const book = new Notebook([0, 0, 0, 0]), { session } = book;
  session.commit(dot(0, 1));
  session.commit({ op: "undo" });
  assert.deepEqual([book.data, session.depth], [[0, 0, 0, 0], [0, 1]]);
  session.commit({ op: "redo" });
  assert.deepEqual([book.data, session.depth, session.waiting.length], [[1, 0, 0, 0], [1, 0], 3]);
});

test("views hear what happens", () => {
  const book = new Notebook([0, 0, 0, 0]), heard = [];
  book.session.listeners.add((what, detail) => heard.push([what, detail]));
  book.session.commit(dot(0, 1));
  book.session.hear({ type: "say", text: "no such class" });
  book.session.hear({ type: "done", client: book.session.client, number: 1 });
  book.session.hear({ type: "done", client: "another tab", number: 1 });
  book.push([0, 0, 0, 0], [0, 0], {});
  assert.deepEqual(heard.map(([what]) => what), ["edited", "said", "confirmed", "adopted"]);
});
