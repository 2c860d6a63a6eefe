// Sliders of the browser's own beside a picture: they have names, keys and a spoken value without further work.
const PAGE = `
  <div class="sb-sliders" role="group" aria-label="Sliders"></div>
  <img class="sb-picture">
  <div class="sb-said" role="status" aria-live="polite"></div>`;

export default {
  render({ model, el }) {
    el.classList.add("slider-board");
    el.innerHTML = PAGE;
    const $ = (query) => el.querySelector(query), box = $(".sb-sliders"), image = $(".sb-picture"), nodes = {};
    // JupyterLab's keys look at the focused node itself, so every one opts out.
    const own = (node) => { node.dataset.lmSuppressShortcuts = "true"; return node; };

    const send = () => {
      model.set("values", Object.fromEntries(Object.entries(nodes).map(([name, { input }]) => [name, +input.value])));
      model.save_changes();
      tell();
    };
    const tell = () => {
      for (const [name, { input, output }] of Object.entries(nodes)) {
        const { low, step, names } = model.get("ranges")[name], value = +input.value;
        const text = names.length ? names[Math.round((value - low) / step)] : `${+value.toFixed(3)}`;
        output.textContent = text;
        input.setAttribute("aria-valuetext", text);
      }
    };
    for (const [name, { low, high, step }] of Object.entries(model.get("ranges"))) {
      const label = document.createElement("label"), output = document.createElement("output");
      const input = own(Object.assign(document.createElement("input"), { type: "range", min: low, max: high, step }));
      input.addEventListener("input", send);
      label.append(name, input, output);
      box.append(label);
      nodes[name] = { input, output };
    }
    const reset = own(Object.assign(document.createElement("button"), { type: "button", textContent: "reset" }));
    reset.addEventListener("click", () => {
      for (const [name, { start }] of Object.entries(model.get("ranges"))) nodes[name].input.value = start;
      send();
    });
    box.append(reset);

    const values = () => {
      const now = model.get("values"); // a slider that a hand moves is ahead of Python
      for (const [name, { input }] of Object.entries(nodes)) if (input !== document.activeElement) input.value = now[name];
      tell();
    };
    const picture = () => {
      const old = image.src, data = model.get("shown"), [width, height] = model.get("size");
      Object.assign(image, { width, height, alt: model.get("alt"), hidden: !data?.byteLength });
      image.src = data?.byteLength ? URL.createObjectURL(new Blob([data])) : "";
      if (old.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(old), 500);
    };
    const said = () => { $(".sb-said").textContent = model.get("caption"); };
    const watched = { values, shown: picture, size: picture, caption: said };
    for (const [name, act] of Object.entries(watched)) { model.on(`change:${name}`, act); act(); }
    return () => { for (const [name, act] of Object.entries(watched)) model.off(`change:${name}`, act); };
  },
};
