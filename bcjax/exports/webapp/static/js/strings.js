// Every text of the app is in strings.*.json; elements name theirs by data-text and data-label.

let texts = {};

export async function loadStrings(languages) {
  const wanted = navigator.languages.map((each) => each.split("-")[0]);
  const language = wanted.find((each) => languages.includes(each)) ?? languages[0];
  texts = await (await fetch(`strings.${language}.json`)).json();
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
}

// Returns a text with its {names} filled in.
export function text(key, values = {}) {
  const found = texts[key];
  if (found === undefined) throw new Error(`strings.*.json has no text ${key}`);
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value) {
  return value.toLocaleString(document.documentElement.lang);
}

export function percent(share, digits = 1) {
  return share.toLocaleString(document.documentElement.lang, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// A fault that the user can do something about: its text is one of strings.*.json.
export class Told extends Error {
  constructor(key, values) {
    super(text(key, values));
    this.key = key;
  }
}
