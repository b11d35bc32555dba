// Shows an answer: the label, what must be known of it, and a bar for each class.

import { element, make } from "./elements.js";
import { percent, text } from "./strings.js";

export class AnswerView {
  constructor(classes) {
    this.classes = classes;
  }

  // Returns the answer in words. A live answer is not sorted anew, so that the bars stay in place.
  show(answer, { live = false } = {}) {
    const { order, set, unsure, strange, probabilities, milliseconds } = answer;
    const label = this.classes[order[0]];
    const doubt = unsure ? this.#doubt(set) : "";
    const shown = live ? this.classes.map((_, index) => index) : order;
    element("none-yet").hidden = true;
    element("verdict").hidden = false;
    element("verdict").classList.toggle("doubtful", Boolean(unsure || strange));
    element("label").textContent = live ? `${text("live")}: ${label}` : label;
    const short = unsure || strange ? text("liveDoubtful", { label }) : label;
    element("live").textContent = `${short} ${percent(probabilities[order[0]], 0)}`;
    fill("unsure", doubt);
    fill("strange", strange ? text("strange") : "");
    element("bars").replaceChildren(
      ...shown.map((index) => bar(this.classes[index], probabilities[index], index === order[0])),
    );
    element("took").textContent = text("took", { milliseconds: milliseconds.toFixed(0) });
    const words = [`${label}, ${percent(probabilities[order[0]])}`, doubt];
    if (strange) words.push(text("strange"));
    return words.filter(Boolean).join("; ").replace(/\.$/, "");
  }

  #doubt(set) {
    if (!set.length) return text("unsureNone");
    if (set.length === 1) return text("unsureWeak");
    const names = set.map((index) => this.classes[index]);
    return text("unsureSeveral", {
      classes: `${names.slice(0, -1).join(", ")} ${text("or")} ${names.at(-1)}`,
    });
  }
}

function fill(id, words) {
  element(id).textContent = words;
  element(id).hidden = !words;
}

function bar(name, probability, first) {
  const filled = make("div");
  filled.style.width = `${100 * probability}%`;
  const track = make("div", { className: "track", ariaHidden: "true" }, filled);
  return make(
    "li",
    { className: first ? "first" : "" },
    make("span", { className: "name", textContent: name }),
    track,
    make("span", { className: "value", textContent: percent(probability) }),
  );
}
