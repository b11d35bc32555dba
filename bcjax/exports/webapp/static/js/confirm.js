// Asks before something is lost.

import { element } from "./elements.js";

// Returns whether it was confirmed.
export function confirmed(question, yes) {
  const dialog = element("confirm");
  element("confirm-text").textContent = question;
  element("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
