// Answers of earlier pictures with small thumbnails, in the browser's own database: they never leave
// the device, and can be erased.

const STORE = "answers";
const MOST = 200;

export class History {
  #opened;

  constructor(name) {
    this.#opened = new Promise((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () =>
        request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    this.#opened.catch(() => {}); // told by whoever asks next
  }

  // Keeps an answer: {label, probability, said, time, thumbnail}; the oldest go beyond 200.
  async add(answer) {
    await this.#do("readwrite", (store) => store.add(answer));
    const keys = await this.#do("readonly", (store) => store.getAllKeys());
    const surplus = keys.slice(0, Math.max(0, keys.length - MOST));
    if (surplus.length) {
      const range = IDBKeyRange.upperBound(surplus.at(-1));
      await this.#do("readwrite", (store) => store.delete(range));
    }
  }

  // Returns all answers, the newest first.
  async all() {
    return (await this.#do("readonly", (store) => store.getAll())).reverse();
  }

  async erase() {
    await this.#do("readwrite", (store) => store.clear());
  }

  async #do(mode, act) {
    const database = await this.#opened;
    return new Promise((resolve, reject) => {
      const request = act(database.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}
