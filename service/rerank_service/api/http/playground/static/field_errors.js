// Show an error beside the field that it belongs to.

/**
 * Show a message below a field, or remove it. The field names the place of its message in `data-error`.
 * @param {HTMLElement} control
 * @param {string} message "" removes it
 */
export function showFieldError(control, message) {
  const place = document.getElementById(control.dataset.error ?? "");
  if (!place) return;
  place.textContent = message;
  place.hidden = !message;
  control.toggleAttribute("aria-invalid", Boolean(message));
  if (message) control.setAttribute("aria-invalid", "true");
  const others = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== place.id);
  control.setAttribute("aria-describedby", [...others, ...(message ? [place.id] : [])].join(" "));
}

/** The field of the API key. */
export const KEY = "key";

/**
 * Return the field of the page that an error belongs to: "query", "documents", "key", a setting such as "top_n", or
 * "" for the whole call.
 * @param {import("./api.js").CallFailed} error
 * @returns {string}
 */
export function placeOf(error) {
  if (!error.code) return error.status === 413 ? "documents" : ""; // an error of a proxy
  if (error.status === 401) return KEY;
  if (error.code === "model_not_allowed" || error.code === "model_not_found") return "model";
  if (error.status === 413) return "documents";
  const name = error.field.split(/[[.]/)[0];
  return name === "X-Request-Timeout" ? "" : name;
}

/**
 * Return a message of the server with the numbers of documents as this page counts them: from 1.
 * @param {string} message
 */
export function withNumbers(message) {
  return message.replace(/documents\[(\d+)\]/g, (name, index) => `${name} (document ${Number(index) + 1})`);
}
