// What is known about the network, for whoever uses it.

import { element, make } from "./elements.js";
import { number, percent, text } from "./strings.js";

export function aboutList(app, onGpu) {
  const { page, certificate, model, runtime } = app;
  const [height, width] = page.input.shape.slice(1, 3);
  const entries = [
    ["aboutNetwork", `${page.run} (${page.network})`],
    ["aboutClasses", page.classes.join(", ")],
    ["aboutAccuracy", accuracy(certificate)],
    [
      "aboutCheck",
      text("check", {
        same: number(certificate.same_label),
        n: number(certificate.n),
        difference: certificate.difference.toExponential(0),
      }),
    ],
    ["aboutSize", text("size", { width, height })],
    ["aboutBits", text("bits", { bits: model.bits })],
    ["aboutMade", page.made_by],
    ["aboutRuntime", `${runtime.name} ${runtime.version} (${runtime.licence})`],
    ["aboutComputes", text(onGpu ? "onGpu" : "onCpu")],
    ["aboutFile", text("file", { sha256: model.sha256 })],
  ];
  element("about-list").replaceChildren(
    ...entries
      .filter(([, value]) => value)
      .flatMap(([key, value]) => [
        make("dt", { textContent: text(key) }),
        make("dd", { textContent: value }),
      ]),
  );
  const cautions = [...page.cautions];
  if (page.calibration && !page.outputs.distance) cautions.push(text("noDistance"));
  element("cautions").replaceChildren(
    ...cautions.map((caution) => make("li", { textContent: caution })),
  );
}

function accuracy({ accuracy: found, split }) {
  if (!found) return "";
  return text("accuracy", {
    accuracy: percent(found.value),
    n: number(found.n),
    split,
    low: percent(found.low),
    high: percent(found.high),
  });
}
