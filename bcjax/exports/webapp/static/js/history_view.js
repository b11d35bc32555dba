// The history on the page.

import { confirmed } from "./confirm.js";
import { element, make } from "./elements.js";
import { percent, text } from "./strings.js";

export class HistoryView {
  constructor(history) {
    this.history = history;
    element("erase").addEventListener("click", () => this.#erase());
    this.#show();
  }

  async add(answer) {
    try {
      await this.history.add(answer);
    } catch {
      return this.#say("historyCannot");
    }
    return this.#show();
  }

  async #show() {
    let answers;
    try {
      answers = await this.history.all();
    } catch {
      return this.#say("historyCannot");
    }
    this.#say(answers.length ? "historySaid" : "historyNone");
    element("erase").disabled = !answers.length;
    return element("history-list").replaceChildren(...answers.map(entry));
  }

  async #erase() {
    if (!(await confirmed(text("confirmErase"), text("erase")))) return;
    await this.history.erase();
    await this.#show();
    this.#say("erased");
  }

  #say(key) {
    element("history-said").textContent = text(key);
  }
}

function entry({ label, probability, sure, time, thumbnail }) {
  const key = sure ? "historyEntry" : "historyUnsure";
  const words = text(key, { label, probability: percent(probability, 0) });
  const when = new Date(time).toLocaleString(document.documentElement.lang);
  return make("li", { title: when }, make("img", { src: thumbnail, alt: "" }), words);
}
