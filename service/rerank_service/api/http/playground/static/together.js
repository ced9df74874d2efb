// Light a document in all lists, and move between the cards of a list by arrow keys.

/**
 * Watch the cards in an element.
 * @param {HTMLElement} root
 */
export function lightTogether(root) {
  const cardOf = (/** @type {EventTarget | null} */ target) => /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest(".card") : null);
  const light = (/** @type {Event} */ event) => lit(root, cardOf(event.target)?.dataset.index);
  root.addEventListener("pointerover", light);
  root.addEventListener("focusin", light);
  root.addEventListener("pointerleave", () => lit(root, undefined));
  root.addEventListener("focusout", () => lit(root, undefined));
  root.addEventListener("keydown", (event) => {
    const card = event.target instanceof HTMLElement && event.target.matches(".card") ? event.target : null;
    const next = card && neighbour(card, event.key);
    if (!card || !next) return;
    event.preventDefault();
    card.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

/**
 * @param {HTMLElement} root
 * @param {string | undefined} index
 */
function lit(root, index) {
  for (const card of root.querySelectorAll(".card.lit")) card.classList.remove("lit");
  if (index === undefined) return;
  for (const card of root.querySelectorAll(`.card[data-index="${index}"]`)) card.classList.add("lit");
}

/**
 * @param {HTMLElement} card
 * @param {string} key
 * @returns {HTMLElement | null}
 */
function neighbour(card, key) {
  const list = card.parentElement;
  const found = { ArrowDown: card.nextElementSibling, ArrowUp: card.previousElementSibling, Home: list?.firstElementChild, End: list?.lastElementChild }[key];
  return /** @type {HTMLElement | null} */ (found ?? null);
}
