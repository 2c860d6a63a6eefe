// A picture with a question, and buttons that answer it: a click or the button's key.
const PAGE = `
  <div class="qb-line" role="status" aria-live="polite"></div>
  <img class="qb-picture">
  <div class="qb-bar" role="group" aria-label="Answers"></div>
  <div class="qb-file"></div>`;

export default {
  render({ model, el }) {
    el.classList.add("question-board");
    el.innerHTML = PAGE;
    const $ = (query) => el.querySelector(query), image = $(".qb-picture"), bar = $(".qb-bar");
    // JupyterLab's keys look at the focused node itself, so every one opts out.
    const own = (node) => { node.dataset.lmSuppressShortcuts = "true"; return node; };
    own(el).tabIndex = -1; // a click on the picture brings the keys here

    const press = (label) => model.send({ type: "press", label });
    const line = () => {
      $(".qb-line").textContent = model.get("line");
      $(".qb-line").classList.toggle("qb-table", model.get("line").includes("\n")); // columns of figures
    };
    const picture = () => {
      const old = image.src, data = model.get("picture"), [width, height] = model.get("size");
      Object.assign(image, { width, height, alt: model.get("alt"), hidden: !data.byteLength });
      image.src = data.byteLength ? URL.createObjectURL(new Blob([data])) : "";
      if (old.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(old), 500);
    };
    const choices = () => {
      model.get("choices").forEach(({ label, key, off }, place) => {
        let node = bar.children[place];
        if (!node) { // nodes stay, so that the focus does
          node = own(Object.assign(document.createElement("button"), { type: "button" }));
          node.addEventListener("click", () => { if (node.getAttribute("aria-disabled") !== "true") press(node.textContent); });
          bar.append(node);
        }
        node.textContent = label;
        node.setAttribute("aria-keyshortcuts", key);
        node.title = `key ${key.length > 1 ? key : key.toUpperCase()}`;
        node.setAttribute("aria-disabled", off); // not `disabled`, which would drop the focus
      });
      while (bar.children.length > model.get("choices").length) bar.lastChild.remove();
    };
    const file = () => {
      const link = own(Object.assign(document.createElement("a"), { textContent: "Save the answers as CSV" }));
      link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(model.get("table"))}`;
      link.download = model.get("table_name");
      $(".qb-file").replaceChildren(...(model.get("table") ? [link] : []));
    };
    el.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const node = [...bar.children].find((one) => one.getAttribute("aria-keyshortcuts").toLowerCase() === event.key.toLowerCase());
      if (!node) return;
      event.preventDefault();
      node.focus();
      node.click();
    });

    const watched = { line, picture, choices, table: file };
    for (const [name, act] of Object.entries(watched)) { model.on(`change:${name}`, act); act(); }
    model.on("change:alt", picture);
    model.on("change:size", picture);
    return () => {
      for (const [name, act] of Object.entries(watched)) model.off(`change:${name}`, act);
      model.off("change:alt", picture);
      model.off("change:size", picture);
    };
  },
};
