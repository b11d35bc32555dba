"use strict";
const at = (id) => document.getElementById(id);

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function headers() {
  const token = at("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function asked(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers() });
  const page = await answer.json();
  if (!answer.ok) throw new Error(page.error);
  return page;
}

async function models() {
  const { models: found } = await asked("v1/models");
  at("model").replaceChildren();
  for (const each of found) {
    const option = element("option", `${each.model} (checkpoint ${each.checkpoint})`, at("model"));
    option.value = each.model;
  }
}

function show(file, answer) {
  const row = element("section", "", at("answers"));
  row.className = "answer";
  const picture = element("img", "", row);
  picture.alt = answer.name;
  picture.onload = () => URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(file);
  const said = element("div", "", row);
  element("strong", answer.name, said);
  if (answer.error) {
    element("p", answer.error, said);
    return;
  }
  const marks = [];
  if (answer.uncertain || (answer.set && answer.set.length !== 1)) marks.push("not sure");
  if (answer.outlier) marks.push("unlike what it was trained on");
  element("p", `${answer.label}${marks.length ? " - " + marks.join(", ") : ""}`, said).className = "mark";
  const table = element("table", "", said);
  const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 5);
  for (const [name, value] of ranked) {
    const line = element("tr", "", table);
    element("th", name, line).scope = "row";
    const bar = element("meter", "", element("td", "", line));
    bar.value = value;
    element("td", `${(100 * value).toFixed(1)} %`, line);
  }
  if (answer.set) element("p", `The conformal set: ${answer.set.join(", ") || "none"}.`, said);
}

at("token").addEventListener("change", () => models().catch(() => {}));

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = [...at("pictures").files];
  const form = new FormData();
  for (const file of files) form.append("pictures", file);
  at("answers").replaceChildren();
  at("said").textContent = "...";
  try {
    const model = at("model").value;
    const path = "v1/predict" + (model ? `?model=${encodeURIComponent(model)}` : "");
    const page = await asked(path, { method: "POST", body: form });
    at("said").textContent =
      `${page.run}, checkpoint ${page.checkpoint}. ${page.calibrated ? "" : "Not calibrated. "}${page.use}`;
    page.predictions.forEach((answer, position) => show(files[position], answer));
  } catch (error) {
    at("said").textContent = error.message;
  }
});

async function roads() {
  const page = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(page.paths)) {
    for (const [method, road] of Object.entries(methods)) {
      const line = element("tr", "", document.querySelector("#roads tbody"));
      element("code", `${method.toUpperCase()} ${path}`, element("td", "", line));
      element("td", road.summary, line);
      element("td", Object.keys(road.responses).join(", "), line);
    }
  }
}

models().catch((error) => { at("said").textContent = error.message; });
roads();
