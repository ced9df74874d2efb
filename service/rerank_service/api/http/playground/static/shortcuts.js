// Keys of the whole page: Enter and Ctrl+Enter rank, Escape cancels.

/** Code of a key that an input method handles. Safari reports the Enter that ends a word by this code alone. */
const COMPOSING = 229;

/**
 * @typedef {object} Actions
 * @property {HTMLElement} query Enter ranks here, and Shift+Enter makes a line
 * @property {HTMLElement} key Enter uses the key here
 * @property {() => boolean} running
 * @property {() => void} rank
 * @property {() => void} useKey
 * @property {() => void} cancel
 */

/**
 * Listen to the keys. A key that is held acts once.
 * @param {Actions} actions
 */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const act = actionOf(event, actions);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act();
  });
}

/**
 * Return what a key does; null if the browser should decide.
 * @param {KeyboardEvent} event
 * @param {Actions} actions
 */
function actionOf(event, { query, key, running, rank, useKey, cancel }) {
  if (event.isComposing || event.keyCode === COMPOSING) return null; // Enter ends a word of an input method
  if (event.key === "Escape" && running()) return cancel;
  if (event.key !== "Enter") return null;
  if (event.target === key) return useKey;
  return event.ctrlKey || event.metaKey || (event.target === query && !event.shiftKey) ? rank : null;
}
