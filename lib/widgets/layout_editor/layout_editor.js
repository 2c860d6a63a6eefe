// The widget: toolbar, palette and the panel of the selection round a stage. No framework, no build step.
import { Session } from "./layout_session.mjs";
import { NEAREST, SOURCE, clamp } from "./layout_core.mjs";
import { Stage, hexOf } from "./layout_stage.js";

const TOOLS = [
  ["brush", "Brush", "b"], ["eraser", "Eraser", "e"], ["fill", "Bucket", "f"], ["select", "Select & move", "v"],
  ["lasso", "Lasso", "l"], ["polygon", "Polygon", "p"], ["rectangle", "Rectangle", "r"], ["ellipse", "Ellipse", "o"],
  ["pick", "Pick class", "i"], ["hand", "Pan", "h"],
];
const HELP = "Label map. Arrow keys move the cursor (Shift: 8 pixels) or the paper, Space uses the tool, Enter closes a polygon, " +
  "[ and ] change the brush or turn a selection, plus and minus zoom or scale the selection, X and Y mirror it, D duplicates, " +
  "Delete removes, Control and arrows move the cursor past a selection, Shift and Space select one more region, letters choose a tool, digits a class, Ctrl+Z undoes.";
const BUSY = 800; // ms without an answer of the kernel after which the reader is told
const PAGE = `
  <div class="le-bar" role="toolbar" aria-label="Tools"></div>
  <div class="le-bar le-options"></div>
  <div class="le-body">
    <div class="le-main">
      <div class="le-frames">
        <div class="le-frame"><div class="le-paper">
          <img class="le-photo" alt=""><canvas class="le-map" aria-hidden="true"></canvas>
          <canvas class="le-over" tabindex="0" role="application"></canvas>
        </div></div>
        <div class="le-second" hidden><img class="le-photo" alt="The source photo"></div>
      </div>
      <div class="le-foot"><span class="le-status" role="status" aria-live="polite"></span><span class="le-hover"></span></div>
      <div class="le-foot"><span class="le-busy" role="status" aria-live="polite"></span></div>
    </div>
    <div class="le-side">
      <div class="le-palette" role="radiogroup" aria-label="Class to paint"></div>
      <details class="le-classes"><summary>Edit the classes</summary></details>
      <fieldset class="le-held"><legend>Selection</legend></fieldset>
    </div>
  </div>`;

const rgbOf = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

class Editor {
  constructor(session, el) {
    Object.assign(this, { session, el, model: session.model });
    el.classList.add("layout-editor");
    el.innerHTML = PAGE;
    this.settings = {
      tool: "brush", cls: 0, radius: 4, square: false, opacity: this.model.get("opacity"), inside: true, vacated: NEAREST,
      choose: (cls) => this.choose(cls), resizeBrush: (by) => this.resizeBrush(by),
      held: () => this.showHold(),
    };
    this.stage = new Stage(session, el, this.settings, (text) => this.say(text));
    this.own(this.stage.over).setAttribute("aria-label", HELP);
    this.tools(); this.options(); this.held(); this.classes(); this.files();
    el.addEventListener("keydown", (event) => this.key(event));
    this.listener = (what, detail) => this.hear(what, detail);
    session.listeners.add(this.listener);
    this.showPhoto(); this.paletteChanged(); this.choose(0); this.useTool("brush");
    this.stage.resize(this.model.get("zoom"));
  }

  $(query) { return this.el.querySelector(query); }
  say(text) { this.$(".le-status").textContent = text; }

  /** JupyterLab's keys (D D deletes a cell) look at the focused node itself, so every one opts out. */
  own(node) { node.dataset.lmSuppressShortcuts = "true"; return node; }

  button(parent, label, act, extra = {}) {
    const node = this.own(Object.assign(document.createElement("button"), { type: "button", textContent: label }));
    for (const [key, value] of Object.entries(extra)) node.setAttribute(key, value);
    node.addEventListener("click", act);
    parent.append(node);
    return node;
  }

  input(parent, label, values, act, on = "input") {
    const box = document.createElement("label"), node = this.own(document.createElement("input"));
    Object.assign(node, values);
    node.addEventListener(on, () => act(node));
    box.append(...(values.type === "checkbox" ? [node, label] : [label, node]));
    parent.append(box);
    return node;
  }

  // ------------------------------------------------------------------------------------------- panels

  tools() {
    const bar = this.$(".le-bar");
    for (const [tool, label, key] of TOOLS)
      this.button(bar, label, () => this.useTool(tool), { "data-tool": tool, title: `${label} (${key.toUpperCase()})`, "aria-keyshortcuts": key });
    this.undo = this.button(bar, "Undo", () => this.step("undo"), { "data-act": "undo", title: "Ctrl+Z" });
    this.redo = this.button(bar, "Redo", () => this.step("redo"), { "data-act": "redo", title: "Ctrl+Shift+Z" });
    this.button(bar, "Reset", () => { this.session.commit({ op: "reset" }); this.say("back to the source layout"); }, { "data-act": "reset" });
  }

  options() {
    const bar = this.$(".le-options"), { settings, stage } = this;
    this.size = this.input(bar, "Brush", { type: "range", min: 0, max: 40, value: settings.radius }, (n) => this.resizeBrush(n.value - settings.radius));
    this.input(bar, "square", { type: "checkbox" }, (n) => { settings.square = n.checked; });
    this.input(bar, "Opacity", { type: "range", min: 0, max: 1, step: 0.05, value: settings.opacity }, (n) => { settings.opacity = +n.value; stage.redraw(); });
    this.button(bar, "−", () => stage.resize(stage.zoom / 1.25), { "aria-label": "Zoom out" });
    this.button(bar, "+", () => stage.resize(stage.zoom * 1.25), { "aria-label": "Zoom in" });
    this.input(bar, "photo beside", { type: "checkbox" }, (n) => {
      this.$(".le-second").hidden = !n.checked;
      this.follow();
    });
    this.$(".le-frame").addEventListener("scroll", () => this.follow());
  }

  /** The photo beside the map shows the same part of it. */
  follow() {
    const { scrollLeft, scrollTop } = this.$(".le-frame");
    Object.assign(this.$(".le-second"), { scrollLeft, scrollTop });
  }

  held() {
    const box = this.$(".le-held"), { settings, stage } = this;
    this.input(box, "with what it encloses", { type: "checkbox", checked: true }, (n) => {
      settings.inside = n.checked;
      if (stage.hold && !stage.hold.op.amend) stage.select(stage.hold.op.at);
    });
    const label = document.createElement("label");
    this.vacated = this.own(document.createElement("select"));
    this.vacated.addEventListener("change", () => {
      settings.vacated = +this.vacated.value;
      if (stage.hold) { stage.hold.op.vacated = settings.vacated; stage.hold.start = this.session.layout.grabbed(stage.hold.op); if (stage.hold.op.amend) stage.finish(); }
    });
    label.append("its place becomes ", this.vacated);
    box.append(label);
    const held = (act) => () => (stage.hold ? act(stage.hold.op) : this.say("Select a region first: tool V, then a click or Space."));
    const number = (name, values, read) => this.input(box, name, { type: "number", ...values },
      (n) => { if (stage.hold && n.value !== "") stage.finish(read(+n.value)); }, "change");
    this.scale = number("scale %", { min: 5, max: 2000, value: 100 }, (v) => ({ scale: clamp(v / 100, 0.05, 20) }));
    this.angle = number("turn °", { min: -360, max: 360, value: 0 }, (v) => ({ angle: clamp(v, -360, 360) }));
    this.button(box, "Flip ↔", held((op) => stage.finish({ flip: [!op.flip[0], op.flip[1]] })), { "aria-label": "Mirror left and right" });
    this.button(box, "Flip ↕", held((op) => stage.finish({ flip: [op.flip[0], !op.flip[1]] })), { "aria-label": "Mirror top and bottom" });
    this.button(box, "Duplicate", held(() => stage.duplicate()), { "data-act": "duplicate" });
    this.button(box, "Delete", held(() => stage.remove()), { "data-act": "delete" });
  }

  classes() {
    const box = this.$(".le-classes"), { session } = this;
    this.own(box.querySelector("summary"));
    this.className = this.input(box, "name", { type: "text", maxLength: 60 }, () => {});
    this.classColour = this.input(box, "colour", { type: "color" }, () => {});
    const change = (op) => {
      const used = session.layout.palette.some(([name, rgb], cls) => cls !== op.cls && (name === op.name || `${rgb}` === `${op.colour}`));
      if (used || op.name === "") return this.say("Each class needs a name and a colour of its own.");
      if (session.commit(op)) this.say(`class ${op.name ?? this.className.value}: done`);
      if (op.op === "add") this.choose(session.layout.palette.length - 1, false);
    };
    const name = () => this.className.value.trim();
    const free = () => {
      const used = session.layout.palette.map(([, rgb]) => hexOf(rgb));
      return used.includes(this.classColour.value) ? this.session.spare.map(hexOf).find((colour) => !used.includes(colour)) ?? this.classColour.value : this.classColour.value;
    };
    this.button(box, "Rename", () => change({ op: "rename", cls: this.settings.cls, name: name() }), { "data-act": "rename" });
    this.button(box, "Recolour", () => change({ op: "recolour", cls: this.settings.cls, colour: rgbOf(this.classColour.value) }));
    this.button(box, "Add as new class", () => change({ op: "add", name: name(), colour: rgbOf(free()) }), { "data-act": "add" });
  }

  files() {
    const bar = this.$(".le-options");
    // The browser would turn an indexed PNG into colours, so Python decodes and encodes.
    const file = this.own(Object.assign(document.createElement("input"), { type: "file", accept: "image/*", hidden: true }));
    file.setAttribute("aria-label", "Label map to import");
    file.addEventListener("change", async () => {
      const [chosen] = file.files;
      if (chosen) this.model.send({ type: "import", name: chosen.name }, undefined, [await chosen.arrayBuffer()]);
      file.value = "";
    });
    this.button(bar, "Import PNG", () => file.click(), { "data-act": "import" });
    this.button(bar, "Export PNG", () => this.model.send({ type: "export" }), { "data-act": "export" });
    bar.append(file);
  }

  paletteChanged() {
    const list = this.$(".le-palette"), { palette } = this.session.layout;
    list.replaceChildren();
    palette.forEach(([name, colour], cls) => {
      const node = this.button(list, "", () => this.choose(cls), { role: "radio", "data-cls": cls, title: `${name} (${cls + 1})` });
      const chip = document.createElement("span");
      chip.style.background = hexOf(colour);
      node.append(chip, name);
    });
    const options = [["nearest class", NEAREST], ["the source", SOURCE], ...palette.map(([name], cls) => [name, cls])];
    this.vacated.replaceChildren(...options.map(([name, value]) => Object.assign(document.createElement("option"), { textContent: name, value })));
    this.vacated.value = this.settings.vacated;
    this.choose(Math.min(this.settings.cls, palette.length - 1), false);
  }

  // ------------------------------------------------------------------------------------------ actions

  useTool(tool) {
    this.settings.tool = tool;
    this.stage.release();
    this.el.querySelectorAll("[data-tool]").forEach((node) => node.setAttribute("aria-pressed", node.dataset.tool === tool));
    this.$(".le-held").hidden = tool !== "select";
    this.stage.over.style.cursor = tool === "hand" ? "grab" : tool === "select" ? "move" : "crosshair";
    this.stage.over.style.touchAction = "none";
    this.say(`tool: ${TOOLS.find(([name]) => name === tool)[1]}`);
  }

  choose(cls, speak = true) {
    const entry = this.session.layout.palette[cls];
    if (!entry) return;
    this.settings.cls = cls;
    this.el.querySelectorAll("[role=radio]").forEach((node) => {
      const chosen = +node.dataset.cls === cls;
      node.setAttribute("aria-checked", chosen);
      node.tabIndex = chosen ? 0 : -1;
    });
    this.className.value = entry[0];
    this.classColour.value = hexOf(entry[1]);
    if (speak) this.say(`class: ${entry[0]}`);
  }

  resizeBrush(by) {
    this.settings.radius = clamp(this.settings.radius + by, 0, 40);
    this.size.value = this.settings.radius;
    this.say(`brush: ${2 * this.settings.radius + 1} pixels`);
    this.stage.redraw();
  }

  step(op) { this.say(this.session.commit({ op }) ? `${op} done` : `nothing to ${op}`); }

  key(event) {
    const key = event.key.toLowerCase(), writing = ["text", "number"].includes(event.target.type);
    const stop = () => { event.preventDefault(); event.stopPropagation(); };
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y") && !writing) {
      stop();
      return this.step(key === "y" || event.shiftKey ? "redo" : "undo");
    }
    if ((event.ctrlKey || event.metaKey) && key === "s") { // our nodes opt out of the page's keys, but not of this one
      stop();
      const { ctrlKey, metaKey, shiftKey, code, keyCode } = event, init = { ctrlKey, metaKey, shiftKey, code, keyCode };
      return this.el.parentElement.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, bubbles: true, ...init }));
    }
    if (key === "enter" && event.target.type === "number") { // the number counts when the field is left
      stop();
      return this.stage.over.focus();
    }
    if (event.target.getAttribute("role") === "radio" && key.startsWith("arrow")) {
      stop();
      const count = this.session.layout.palette.length, by = key === "arrowdown" || key === "arrowright" ? 1 : count - 1;
      this.choose((this.settings.cls + by) % count);
      return this.$("[role=radio][aria-checked=true]").focus();
    }
    if (writing || event.ctrlKey || event.metaKey || event.altKey || event.target !== this.stage.over) return;
    const tool = TOOLS.find(([, , letter]) => letter === key);
    if (tool) { stop(); this.useTool(tool[0]); } else if (/^[1-9]$/.test(key)) { stop(); this.choose(+key - 1); }
  }

  hear(what, detail) {
    this.kernelSays();
    if (what === "said") this.say(detail);
    else if (what === "file") this.download(detail);
    else if (what !== "confirmed") this.redrawn(); // a number that is being typed stays as it is
  }

  /** The map has changed, here or in Python. */
  redrawn() {
    const shown = this.el.querySelectorAll("[data-cls]").length, { palette } = this.session.layout;
    const key = JSON.stringify(palette);
    if (shown !== palette.length || key !== this.shownPalette) this.paletteChanged();
    this.shownPalette = key;
    this.stage.changed();
    this.showHold();
    const [undo, redo] = this.session.depth;
    this.undo.disabled = !undo; this.redo.disabled = !redo;
  }

  /** How much larger and how far turned the selection is. */
  showHold() {
    const op = this.stage.hold?.op ?? { scale: 1, angle: 0 };
    this.scale.value = Math.round(100 * op.scale);
    this.angle.value = op.angle;
  }

  /** Edits wait while a cell runs: say so before the reader wonders where the picture is. */
  kernelSays() {
    const node = this.$(".le-busy"), tell = () => {
      const { length } = this.session.waiting;
      node.textContent = length ? `Waiting for the busy kernel: ${length} edit${length > 1 ? "s" : ""} will be painted when it is free.` : "";
    };
    clearTimeout(this.timer);
    if (node.textContent || !this.session.waiting.length) tell(); else this.timer = setTimeout(tell, BUSY);
  }

  download({ name, data }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.say(`saved ${name}`);
  }

  showPhoto() {
    const photo = this.model.get("photo"), nodes = this.el.querySelectorAll("img.le-photo");
    if (!photo?.byteLength) { nodes.forEach((node) => { node.style.visibility = "hidden"; }); return; }
    const url = URL.createObjectURL(new Blob([photo], { type: "image/png" }));
    nodes.forEach((node) => { node.src = url; node.style.visibility = "visible"; });
  }

  close() { clearTimeout(this.timer); this.session.listeners.delete(this.listener); }
}

export default () => {
  let session;
  return {
    initialize({ model }) { session = new Session(model); },
    render({ model, el }) {
      session ??= new Session(model);
      const editor = new Editor(session, el);
      const watched = { "change:photo": () => editor.showPhoto(), "change:zoom": () => editor.stage.resize(model.get("zoom")) };
      for (const [name, act] of Object.entries(watched)) model.on(name, act);
      editor.hear("adopted");
      return () => { editor.close(); for (const [name, act] of Object.entries(watched)) model.off(name, act); };
    },
  };
};
