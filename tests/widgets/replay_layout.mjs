// Carries out operations line by line, as the browser does: {"begin": layout} or {"op": ...} in, a state out.
import { createInterface } from "node:readline";
import { Layout, crc32 } from "../../lib/widgets/layout_editor/layout_core.mjs";

let layout = null;
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.begin) {
    const { data, source, ...rest } = message.begin;
    layout = new Layout({ ...rest, data: Uint8Array.from(data), source: Uint8Array.from(source) });
  } else layout.apply(message);
  const { palette, past, future } = layout;
  console.log(JSON.stringify({ crc: crc32(layout.data), palette, depth: [past.length, future.length] }));
}
