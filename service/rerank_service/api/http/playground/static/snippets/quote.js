// Quoting for shells and Python.

/**
 * Return JSON that may stand between single quotes in a shell: an apostrophe is written as its escape.
 * @param {unknown} value
 */
export function shellJson(value) {
  return indented(value).replaceAll("'", "\\u0027");
}

/**
 * Return JSON with a line for each field and for each document, because people read and change it.
 * @param {any} value
 */
export function indented(value) {
  return visible(JSON.stringify(value, null, 2));
}

/**
 * Return JSON or Python with escapes for characters that are not seen: they change the order of the characters beside
 * them, end lines, or control a terminal. So the shown code is the copied code.
 * @param {string} code
 */
function visible(code) {
  return code.replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * Return a word of a shell command.
 * @param {string} word
 */
export function shellWord(word) {
  return /^[\w@%+=:,./[\]-]+$/.test(word) && !word.includes("[") ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Return a value as Python has it. The strings of JSON are strings of Python.
 * @param {any} value
 * @param {string} [indent] indentation of the line
 * @returns {string}
 */
export function python(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return visible(JSON.stringify(value));
  const inner = `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((part) => python(part, inner))
    : Object.entries(value).map(([name, part]) => `${python(name)}: ${python(part, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!parts.length) return open + close;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

/**
 * Return the keyword arguments of a call, one on each line.
 * @param {[string, string][]} pairs names, and values as code
 * @param {string} [indent]
 */
export function keywords(pairs, indent = "    ") {
  return pairs.map(([name, value]) => `${indent}${name}=${value},\n`).join("");
}
