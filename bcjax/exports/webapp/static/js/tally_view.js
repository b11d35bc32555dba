// The tally on the page: a row for each class, its buttons, the keys, and what is saved of it.

import { confirmed } from "./confirm.js";
import { download, element, make } from "./elements.js";
import { number, percent, text } from "./strings.js";

const MOST_KEYS = 9;

export class TallyView {
  // say: shows a sentence.
  constructor(tally, page, say) {
    this.tally = tally;
    this.page = page;
    this.say = say;
    this.#rows();
    this.#listen();
    this.#show();
  }

  add(index) {
    this.tally.add(index);
    this.#show();
  }

  // The rows are made once, so that a button keeps the keyboard's focus.
  #rows() {
    const rows = this.page.classes.map((name, index) => {
      const button = make("button", { type: "button", textContent: "+" });
      button.setAttribute("aria-label", text("countOne", { label: name }));
      button.addEventListener("click", () => this.add(index));
      return row(name, button);
    });
    const total = row(text("total"), "");
    total.className = "total";
    element("tally-rows").replaceChildren(...rows, total);
    const last = Math.min(MOST_KEYS, this.page.classes.length);
    element("keys-text").textContent = text("countWithKeys", { last });
  }

  #show() {
    const rows = [...element("tally-rows").children];
    const { total } = this.tally;
    this.tally.rows().forEach(({ count, share, low, high }, index) => {
      const cells = rows[index].children;
      cells[1].textContent = number(count);
      const interval = `${percent(low, 0)} – ${percent(high, 0)}`;
      cells[2].replaceChildren(
        ...(total ? [percent(share), " ", make("small", { textContent: `(${interval})` })] : []),
      );
    });
    rows.at(-1).children[1].textContent = number(total);
    const key = total === 1 ? "tallySaidOne" : "tallySaid";
    element("tally-said").textContent = text(key, { total: number(total) });
  }

  #listen() {
    const listen = (id, act) => element(id).addEventListener("click", act);
    listen("undo", () => {
      const undone = this.tally.undo();
      this.#show();
      const label = this.page.classes[undone];
      this.say(undone === undefined ? text("nothingToUndo") : text("undone", { label }));
    });
    listen("reset", async () => {
      if (!(await confirmed(text("confirmReset"), text("reset")))) return;
      this.tally.reset();
      this.#show();
    });
    listen("csv", () => download("tally.csv", this.tally.csv(), "text/csv"));
    listen("print", () => window.print());
    window.addEventListener("beforeprint", () => {
      const date = new Date().toLocaleString(document.documentElement.lang);
      element("printed").textContent = text("printed", { network: this.page.run, date });
    });
    document.addEventListener("keydown", (event) => {
      const index = Number(event.key) - 1;
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
      const counts = element("keys").checked && plain && index < MOST_KEYS;
      if (counts && this.page.classes[index] !== undefined) this.add(index);
    });
  }
}

function row(name, last) {
  return make(
    "tr",
    {},
    make("th", { scope: "row", textContent: name }),
    make("td"),
    make("td"),
    make("td", { className: "no-print" }, last),
  );
}
