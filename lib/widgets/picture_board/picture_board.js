// The generated picture: a slider between before and after, what was painted earlier, and the project's files.
const url = (view) => (view?.byteLength ? URL.createObjectURL(new Blob([view])) : "");
const PAGE = `
  <div class="pb-frame" role="group" aria-label="Before and after">
    <img class="pb-after" alt="The generated picture"><img class="pb-before" alt="The photo"><div class="pb-line"></div>
    <span class="pb-tag pb-left" aria-hidden="true">photo</span><span class="pb-tag pb-right" aria-hidden="true">painted</span>
  </div>
  <label class="pb-slide">painted <input type="range" min="0" max="100" step="1" aria-label="Show the photo up to this share of the width"> photo</label>
  <div class="pb-strip" role="list" aria-label="Earlier versions"></div>
  <div class="pb-bar"></div>
  <div class="pb-said" role="status" aria-live="polite"></div>`;

export default {
  render({ model, el }) {
    el.classList.add("picture-board");
    el.innerHTML = PAGE;
    const $ = (query) => el.querySelector(query), own = (node) => { node.dataset.lmSuppressShortcuts = "true"; return node; };
    const [after, before, line, strip] = [".pb-after", ".pb-before", ".pb-line", ".pb-strip"].map($);
    const slider = own($("input"));

    const show = (node, name) => () => {
      const old = node.src;
      node.src = url(model.get(name));
      node.style.visibility = node.src && model.get(name)?.byteLength ? "visible" : "hidden";
      if (old.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(old), 500);
    };
    const size = () => {
      const [w, h] = model.get("size");
      Object.assign($(".pb-frame").style, { width: w + "px", height: h + "px" });
      strip.style.maxWidth = w + "px";
      split();
    };
    const split = () => {
      const share = model.get("after")?.byteLength ? +slider.value : 100; // nothing is painted yet: the photo
      slider.setAttribute("aria-valuetext", `${share} % photo`);
      $(".pb-left").hidden = share === 0;
      $(".pb-right").hidden = share === 100;
      before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
      Object.assign(line.style, { left: share + "%", display: share > 0 && share < 100 ? "block" : "none" });
    };
    const said = () => { $(".pb-said").textContent = model.get("caption"); };
    const busy = () => el.classList.toggle("pb-busy", model.get("busy"));
    const versions = () => {
      strip.querySelectorAll("img").forEach(({ src }) => URL.revokeObjectURL(src));
      strip.replaceChildren(...model.get("versions").map((picture, number) => {
        const item = document.createElement("div"), node = own(document.createElement("button"));
        item.setAttribute("role", "listitem");
        node.type = "button";
        node.setAttribute("aria-label", `Go back to version ${number + 1}`);
        const [w, h] = model.get("size"), image = Object.assign(document.createElement("img"), { src: url(picture), alt: "" });
        image.style.width = Math.round((44 * w) / h) + "px"; // known before it is loaded, so that the strip can scroll to its end
        node.append(image);
        node.addEventListener("click", () => model.send({ type: "version", number }));
        item.append(node);
        return item;
      }));
      strip.scrollLeft = strip.scrollWidth;
    };

    let due = 0;
    const later = () => { // the strip is drawn when the new picture, which somebody waits for, is on the screen
      clearTimeout(due);
      due = setTimeout(versions, 100);
    };

    const button = (label, act) => {
      const node = own(Object.assign(document.createElement("button"), { type: "button", textContent: label }));
      node.addEventListener("click", act);
      $(".pb-bar").append(node);
    };
    for (const [label, type] of [["Refine", "refine"], ["Save picture", "picture"], ["Save project", "project"]])
      button(label, () => model.send({ type }));
    const file = own(Object.assign(document.createElement("input"), { type: "file", accept: ".zip", hidden: true }));
    file.setAttribute("aria-label", "Project to open");
    file.addEventListener("change", async () => {
      if (file.files[0]) model.send({ type: "open" }, undefined, [await file.files[0].arrayBuffer()]);
      file.value = "";
    });
    button("Open project", () => file.click());
    el.append(file);

    const heard = (message, buffers) => {
      if (message.type !== "file") return;
      const link = document.createElement("a");
      link.href = url(buffers[0]);
      link.download = message.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    };
    const painted = show(after, "after");
    const watched = { after: () => { painted(); split(); }, before: show(before, "before"), size, caption: said, busy, versions: later };
    slider.value = 0;
    slider.addEventListener("input", split);
    for (const [name, act] of Object.entries(watched)) { model.on(`change:${name}`, act); act(); }
    model.on("msg:custom", heard);
    return () => {
      clearTimeout(due);
      for (const [name, act] of Object.entries(watched)) model.off(`change:${name}`, act);
      model.off("msg:custom", heard);
    };
  },
};
