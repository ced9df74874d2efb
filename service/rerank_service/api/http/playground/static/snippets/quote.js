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
  return JSON.stringify(value, null, 2);
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
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const parts = Array.isArray(value)
    ? value.map((part) => python(part, inner))
    : Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}: ${python(part, inner)}`);
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
