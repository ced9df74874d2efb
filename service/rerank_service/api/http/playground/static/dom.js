// Build elements. Texts are always text nodes: nothing on this page turns text into HTML.

/**
 * Return a new element.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] attributes; `class`; and `onNAME` for listeners. null and false: none
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/**
 * Return an element of the page.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element ${id}`);
  return /** @type {T} */ (node);
}

/**
 * Return the value of the chosen radio button, and choose one.
 * @param {HTMLElement} group
 * @returns {{get: () => string, set: (value: string) => void}}
 */
export function radios(group) {
  const inputs = /** @type {HTMLInputElement[]} */ ([...group.querySelectorAll("input[type=radio]")]);
  return {
    get: () => inputs.find((input) => input.checked)?.value ?? "",
    set: (value) => inputs.forEach((input) => (input.checked = input.value === value)),
  };
}
