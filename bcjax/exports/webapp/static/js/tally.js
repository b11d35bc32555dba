// A tally of cells by class, as at a bench: counts, shares with 95 % intervals, undo, CSV.

const Z = 1.959963984540054; // of a two-sided 95 % interval

// Wilson's interval of a share, [low, high]; [0, 1] of nothing.
export function wilson(count, total) {
  if (!total) return [0, 1];
  const share = count / total;
  const middle = (share + (Z * Z) / (2 * total)) / (1 + (Z * Z) / total);
  const half =
    (Z / (1 + (Z * Z) / total)) *
    Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

export class Tally {
  // classes: names; store: where it outlives the page, as localStorage.
  constructor(classes, store, key) {
    this.classes = classes;
    this.store = store;
    this.key = key;
    this.counted = this.#read(); // positions of classes, in the order of counting
  }

  add(index) {
    this.counted.push(index);
    this.#keep();
  }

  undo() {
    const last = this.counted.pop();
    this.#keep();
    return last;
  }

  reset() {
    this.counted = [];
    this.#keep();
  }

  get total() {
    return this.counted.length;
  }

  rows() {
    return this.classes.map((name, index) => {
      const count = this.counted.filter((each) => each === index).length;
      const [low, high] = wilson(count, this.total);
      return { name, count, share: this.total ? count / this.total : 0, low, high };
    });
  }

  csv() {
    const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const lines = this.rows().map(({ name, count, share, low, high }) =>
      [quoted(name), count, ...[share, low, high].map((each) => each.toFixed(4))].join(","),
    );
    return ["class,count,share,low_95,high_95", ...lines].join("\n") + "\n";
  }

  #read() {
    try {
      const kept = JSON.parse(this.store.getItem(this.key) ?? "[]");
      return kept.filter((each) => Number.isInteger(each) && each < this.classes.length);
    } catch {
      return [];
    }
  }

  #keep() {
    try {
      this.store.setItem(this.key, JSON.stringify(this.counted));
    } catch {
      // A browser that keeps nothing still counts while the page is open.
    }
  }
}
