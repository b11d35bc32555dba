"use strict";
{
  const NEAR = 28; // CSS pixels from a point at which it is meant
  const ZOOM = 2; // of a picture on the sheet
  const map = document.getElementById("embedding");
  const plane = document.getElementById("plane");
  const ring = document.getElementById("ring");
  const card = document.getElementById("card");
  const sprite = document.getElementById("sprite");
  const caption = card.querySelector("figcaption");
  const known = JSON.parse(document.getElementById("points").textContent);
  const dots = [...plane.querySelectorAll(".dot")];
  const places = dots.map((dot) => [dot.cx.baseVal.value, dot.cy.baseVal.value]);
  let shown = -1;

  function nearest(event) {
    const matrix = plane.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = -1;
    let least = NEAR / matrix.a;
    places.forEach(([x, y], i) => {
      const distance = Math.hypot(x - at.x, y - at.y);
      if (distance < least && !dots[i].classList.contains("dim")) [best, least] = [i, distance];
    });
    return best;
  }

  function show(i) {
    if (i === shown) return;
    shown = i;
    card.hidden = i < 0;
    ring.toggleAttribute("hidden", i < 0);
    if (i < 0) return;
    const [x, y] = places[i];
    const label = known.classes[known.labels[i]];
    const column = i % known.columns;
    const row = Math.floor(i / known.columns);
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    sprite.alt = `${label}: ${known.ids[i]}`;
    sprite.style.transform =
      `scale(${ZOOM}) translate(${-column * known.cell}px, ${-row * known.cell}px)`;
    caption.textContent = `${label}, ${known.splits[i]}: ${known.ids[i]}`;
    // On the side with more room, clear of the finger that points.
    const { width, height } = plane.viewBox.baseVal;
    const scale = plane.clientWidth / width;
    const left = x * scale + (x < width / 2 ? 18 : -18 - card.offsetWidth);
    const top = y * scale - card.offsetHeight / 2;
    card.style.left = `${Math.max(0, Math.min(left, plane.clientWidth - card.offsetWidth))}px`;
    card.style.top = `${Math.max(0, Math.min(top, height * scale - card.offsetHeight))}px`;
  }

  function mark(name) {
    for (const button of map.querySelectorAll("button")) {
      const own = button.dataset.mark === name;
      button.setAttribute("aria-pressed", own && button.ariaPressed !== "true");
    }
    const pressed = map.querySelector('button[aria-pressed="true"]')?.dataset.mark;
    for (const dot of dots) dot.classList.toggle("dim", Boolean(pressed) && !dot.classList.contains(pressed));
    show(-1);
  }

  plane.addEventListener("pointermove", (event) => show(nearest(event)));
  plane.addEventListener("pointerdown", (event) => show(nearest(event)));
  plane.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") show(-1); // a finger leaves when it is lifted
  });
  for (const button of map.querySelectorAll("button")) {
    button.addEventListener("click", () => mark(button.dataset.mark));
  }
  document.getElementById("by").addEventListener("change", (event) => {
    map.dataset.by = event.target.value;
    mark("");
  });
}
